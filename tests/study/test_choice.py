"""Which base is chosen, and why."""

import zipfile

import keras
import numpy as np
import pytest

from catdog_helpers import fetch, load_run, prepare, save_split, split
from catdog_helpers.study import choice
from catdog_helpers.study.choice import compare_bases, say_base, split_entry
from catdog_helpers.study.linear import fit_linear


def save_base(path, *, blind: bool, slow: bool = False):
    """Save a base that sees the colours of an image, or nothing of it."""
    image = keras.Input((16, 16, 3))
    x = keras.layers.AveragePooling2D(4)(image)
    x = keras.layers.Rescaling(0.0 if blind else 1.0, offset=1.0)(x)
    for _ in range(12 * slow):
        y = keras.layers.Conv2D(64, 3, padding="same")(image)
        x = keras.layers.Concatenate()([x, keras.layers.MaxPooling2D(4)(y)])
        x = x[..., :3]
    keras.Model(image, x).save(path)
    return str(path)


@pytest.fixture
def coloured(tmp_path):
    """A run of two classes that differ in their colour."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, mean in (("red", (150, 90, 90)), ("blue", (90, 90, 150))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(60):
            x = rng.normal(mean, 40, (16, 16, 3)).clip(0, 255).astype("uint8")
            Image.fromarray(x).save(tmp_path / "photos" / name / f"{i}.png")
    folder = fetch(tmp_path / "photos", tmp_path / "data")
    images, manifest = prepare(folder, tmp_path / "data/p", 16, workers=1)
    manifest = split(manifest, train=80, validation=20, test=20)
    about = {"dataset": "photos", "folder": folder, "seed": 0}
    save_split(tmp_path / "run", images, manifest, **about)
    return load_run(tmp_path / "run")


def test_the_fastest_that_is_not_worse_is_chosen(
    coloured, tmp_path, monkeypatch
):
    bases = [
        save_base(tmp_path / "blind.keras", blind=True),
        save_base(tmp_path / "seeing.keras", blind=False),
        save_base(tmp_path / "twin.keras", blind=False, slow=True),
        str(tmp_path / "gone.keras"),
    ]
    times = iter((1, 2, 3))
    monkeypatch.setattr(choice, "least_seconds", lambda _: [next(times)])
    table = compare_bases(coloured, bases)
    assert table.index.tolist() == ["blind", "seeing", "twin", "gone"]
    assert table.index[table.chosen].tolist() == ["seeing"]
    assert table.accuracy["seeing"] == 1
    assert table.accuracy["blind"] < 0.8
    assert table.p["blind"] < 0.05
    assert table.p["seeing"] == 1
    assert table["images a second"]["seeing"] == 16
    assert "no saved base model" in table.missing["gone"]
    said = say_base(table)
    assert said.startswith("seeing: right on 1.000")
    assert "of 3 bases compared" in said


def test_no_base_at_all_is_said(coloured):
    with pytest.raises(ValueError, match="no base can be loaded"):
        compare_bases(coloured, ["gone.keras"])


def test_entries_name_weights_after_a_colon():
    assert split_entry("VGG16") == ("VGG16", "imagenet")
    assert split_entry("VGG16:a/b.h5") == ("VGG16", "a/b.h5")
    assert split_entry("hub:hf://timm/x") == ("hub:hf://timm/x", "imagenet")


@pytest.fixture
def photographs_of(shared, tmp_path):
    """Function: a folder of so many real cats and dogs."""
    path = shared / "data/petimages_200px.zip"

    def unpack(n: int):
        with zipfile.ZipFile(path) as archive:
            for kind in ("Cat", "Dog"):
                for number in range(1000, 1000 + n):
                    archive.extract(
                        f"PetImages/{kind}/{number}.jpg", tmp_path / "all"
                    )
        return tmp_path / "all/PetImages"

    return unpack


@pytest.mark.slow
def test_the_choice_costs_at_most_a_point(
    shared, photographs_of, tmp_path, monkeypatch
):
    """Over 20 draws of 300 photographs; judged on 600 others."""
    weights = shared / "weights"
    bases = [
        f"MobileNetV2:{weights}/mobilenet_v2_1.0_224_no_top.weights.h5",
        f"{weights}/squeezenet_v1.1_imagenet_raw_rgb.keras",
        f"{weights}/efficientnet_lite2_imagenet_raw_rgb.keras",
        f"{weights}/inception_v3_mixed8_imagenet_raw_rgb.keras",
    ]
    folder = fetch(photographs_of(700), tmp_path / "data")
    images, manifest = prepare(folder, tmp_path / "data/p", 192, workers=2)
    manifest = split(manifest, train=700, validation=50, test=600)
    about = {"dataset": "photos", "folder": folder, "seed": 0}
    save_split(tmp_path / "run", images, manifest, **about)
    run = load_run(tmp_path / "run")
    used, kept, rates = np.sort(np.concatenate([run.train, run.test])), {}, []

    def remember(model, images, rows, *, name):
        if name not in kept:
            kept[name] = extract(model, images, used, name=name)
        return kept[name]

    def rate(runs):
        known = len(rates) >= len(bases)
        rates.append(rates[len(rates) % len(bases)] if known else time(runs))
        return rates[-1]

    extract, time = choice.extract_features, choice.least_seconds
    monkeypatch.setattr(choice, "extract_features", remember)
    monkeypatch.setattr(choice, "least_seconds", rate)
    lost = []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(run.train)
        some = run._replace(train=np.sort(order[:300]))
        table = compare_bases(some, bases, seed=seed)
        right = {
            name.removeprefix("compare-"): on_test(some, np.asarray(x))
            for name, x in kept.items()
        }
        chosen = table.index[table.chosen][0]
        lost.append(max(right.values()) - right[chosen])
        print(seed, chosen, right)
    assert len(lost) == 20
    assert np.mean(lost) <= 0.01


def on_test(run, features) -> float:
    x = features.astype("float32")
    x /= np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12)
    solver = fit_linear(x[run.train], run.labels[run.train], strength=30)
    return solver.score(x[run.test], run.labels[run.test])
