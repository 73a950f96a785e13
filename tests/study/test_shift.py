"""What is different about new photographs, and whether a model holds."""

import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import save_method
from PIL import Image, ImageEnhance, ImageFilter

from catdog_helpers import (
    extract_features,
    fetch,
    load_base,
    load_run,
    prepare,
    save_result,
    save_split,
    split,
)
from catdog_helpers.__main__ import main
from catdog_helpers.study.linear import fit_linear, linear_head
from catdog_helpers.study.shift import WORDS, check, differences

MAPS = keras.layers.GlobalAveragePooling2D


def table(rng, n, **shifts) -> pd.DataFrame:
    shown = {name: rng.normal(shifts.get(name, 0), 1, n) for name in WORDS}
    return pd.DataFrame(shown)


def test_differences_are_named_in_order_and_chance_is_not():
    rng = np.random.default_rng(0)
    found = differences(
        table(rng, 200),
        table(rng, 150, brightness=-2, size=1, distance=3),
    )
    assert found.index.tolist() == ["brightness", "size", "distance"]
    assert found["new photographs are"].iloc[0] == "darker"
    # Of two normal distributions, 2 AUC - 1 is 2 Phi(d / sqrt 2) - 1.
    assert found.explains.iloc[0] == pytest.approx(0.843, abs=0.03)
    few = differences(table(rng, 200), table(rng, 3, brightness=9))
    assert "brightness" in few.index
    assert differences(table(rng, 90), table(rng, 90)).empty


def test_measures_that_are_missing_are_left_out():
    rng = np.random.default_rng(0)
    old, new = table(rng, 50), table(rng, 50, size=3)
    old["compression"] = np.nan
    assert differences(old, new).index.tolist() == ["size"]


def test_check_counts_labels_and_files_that_cannot_be_read(run_dir, tmp_path):
    save_method(run_dir, "mine")
    folder = tmp_path / "photos"
    (folder / "cat" / "broken.png").write_bytes(b"")
    (folder / "dog").rename(folder / "DOG")
    found = check(run_dir / "models/mine.keras", folder)
    assert "of 40 new photographs" in found.said[0]
    assert "of 8 test images" in found.said[0]
    assert "may be chance" in found.said[0]
    assert found.said[-1] == "1 files cannot be read."
    assert sorted(found.classes.index) == ["cat", "dog"]
    assert found.classes.images.tolist() == [20, 20]
    shutil.move(folder / "cat", tmp_path / "holiday")
    found = check(run_dir / "models/mine.keras", tmp_path / "holiday")
    assert found.classes.empty
    assert "no accuracy is measured" in found.said[0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no photograph can be read"):
        check(run_dir / "models/mine.keras", tmp_path / "empty")


def test_the_command_prints_what_was_found(run_dir, tmp_path, capsys):
    save_method(run_dir, "mine")
    model = str(run_dir / "models/mine.keras")
    assert main(["check", "--model", model, str(tmp_path / "photos")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Right on")
    assert any(line.split()[:2] == ["images", "right"] for line in lines)
    assert main(["check", "--model", model, str(tmp_path / "nowhere")]) == 2
    assert "no photograph can be read" in capsys.readouterr().err


def blur(image):
    return image.filter(ImageFilter.GaussianBlur(max(image.size) / 120))


def crop(image):
    width, height = image.size
    box = (0.2 * width, 0.2 * height, 0.8 * width, 0.8 * height)
    return image.crop(tuple(map(int, box)))


def warm(image):
    red, green, blue = image.split()
    red, blue = red.point(lambda v: v * 1.15), blue.point(lambda v: v * 0.8)
    return Image.merge("RGB", (red, green, blue))


SHIFTS = {  # what is done, how it is saved, and what it is called
    "darker": (lambda x: ImageEnhance.Brightness(x).enhance(0.6), None),
    "more blurred": (blur, None),
    "smaller in pixels": (crop, None),
    "warmer (redder)": (warm, None),
    "more compressed": (lambda x: x, 15),
}


def shifted(paths, folder: Path, change, quality: int | None) -> None:
    """Save changed photographs, but for the change as they were saved."""
    for path in paths:
        with Image.open(path) as image:
            tables = {"qtables": image.quantization}
            options = {"quality": quality} if quality else tables
            target = folder / path.parent.name.rstrip("s") / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            change(image.convert("RGB")).save(target, "JPEG", **options)


@pytest.fixture
def trained(shared, tmp_path):
    """A model of 300 real photographs, and 300 others."""
    with zipfile.ZipFile(
        shared / "data/cats_and_dogs_filtered_small.zip"
    ) as archive:
        archive.extractall(tmp_path / "all")
    paths = sorted((tmp_path / "all").rglob("*.jpg"))
    rng = np.random.default_rng(0)
    rng.shuffle(paths)
    shifted(paths[:300], tmp_path / "known", lambda x: x, None)
    folder = fetch(tmp_path / "known", tmp_path / "data")
    images, manifest = prepare(folder, tmp_path / "data/known", 192, workers=2)
    manifest = split(manifest, train=150, validation=50, test=100)
    about = {"dataset": "known", "folder": folder, "seed": 0}
    save_split(tmp_path / "run", images, manifest, **about)
    run = load_run(tmp_path / "run")
    weights = shared / "weights/mobilenet_v2_1.0_224_no_top.weights.h5"
    base = load_base("MobileNetV2", weights, image_size=192)
    whole = keras.Sequential([base, MAPS()])
    used = np.sort(np.concatenate([run.train, run.validation, run.test]))
    x = extract_features(whole, run.images, used, name="f", precision="float32")
    x = np.asarray(x, dtype="float32")
    solver = fit_linear(x[run.train], run.labels[run.train], strength=0.1)
    head = linear_head(solver)
    save_result(
        tmp_path / "run",
        "linear",
        keras.Sequential([whole, head]),
        head.predict(x[run.test], verbose=0),
        {"loss": [], "seconds": [0.0]},
        stored=(head, x),
    )
    return tmp_path / "run/models/linear.keras", paths[300:]


@pytest.mark.slow
def test_seeded_shifts_of_real_photographs_are_named(trained, tmp_path):
    model, others = trained
    named = []
    for number in range(10):
        wanted, options = list(SHIFTS.items())[number % len(SHIFTS)]
        rng = np.random.default_rng(number)
        some = rng.choice(np.array(others), 60, replace=False)
        shifted(some, tmp_path / str(number), *options)
        found = check(model, tmp_path / str(number))
        first = found.differences["new photographs are"].iloc[0]
        named.append(first == wanted)
        print(number, wanted, *found.said, sep="\n  ")
    assert np.mean(named) >= 0.9
    # One alarm in twenty is chance, and all share the same test images.
    alarms, unlike = 0, 0
    for number in range(5):
        rng = np.random.default_rng(100 + number)
        some = rng.choice(np.array(others), 60, replace=False)
        shifted(some, tmp_path / f"same-{number}", lambda x: x, None)
        found = check(model, tmp_path / f"same-{number}")
        print(found.said)
        alarms += "more than chance" in found.said[0]
        unlike += len(found.differences)
    assert alarms <= 2
    assert unlike <= 2
