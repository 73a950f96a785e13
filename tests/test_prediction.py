"""Prediction: the reader's own files, one line each, whatever they are."""

import csv
import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from catdog_helpers.__main__ import main
from catdog_helpers.images import read_image
from catdog_helpers.prediction import find_photographs, predict
from catdog_helpers.saving import save_model

ROOT = Path(__file__).parents[1]
# Not alphabetical: the order of the outputs is the card's
NAMES = ["red", "blue", "green"]
COLORS = {"red": (250, 5, 5), "blue": (5, 5, 250), "green": (5, 250, 5)}


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """A model that names colours: its outputs are red, blue, green."""
    path = tmp_path_factory.mktemp("models") / "colors.keras"
    head = layers.Dense(3, activation="softmax", use_bias=False)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Rescaling(1 / 50),
            layers.GlobalAveragePooling2D(),
            head,
        ]
    )
    head.set_weights([np.eye(3)[:, [0, 2, 1]]])
    save_model(model, path, {"class_names": NAMES, "image_size": 12})
    return path


def paint(path: Path, color: str, side: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), COLORS[color]).save(path)
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    """Folder whose names are all misleading, with two unreadable files."""
    folder = tmp_path / "my photos"
    paint(folder / "b" / "red.png", "blue")
    paint(folder / "a" / "blue.JPG", "green")
    paint(folder / "Föhn 猫.png", "red")
    (folder / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("not asked for")
    (folder / "b" / "._red.png").write_bytes(b"left by a Mac")
    return folder


def test_each_photograph_gets_its_class_and_probability(model_path, tmp_path):
    files = [paint(tmp_path / f"{i}.png", name) for i, name in enumerate(NAMES)]
    rows = list(predict(model_path, files))
    assert [row["class"] for row in rows] == NAMES
    assert [row["path"] for row in rows] == [str(file) for file in files]
    model = keras.models.load_model(model_path)
    x = np.stack([read_image(file, 12) for file in files]).astype("float32")
    expected = model.predict_on_batch(x).max(axis=1)
    found = [row["probability"] for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert all(row["error"] == "" for row in rows)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_an_unreadable_file_does_not_stop_the_others(
    model_path, photos, batch_size
):
    paths = [photos, photos / "none.jpg", paint(photos / "z.png", "red")]
    rows = list(predict(model_path, paths, batch_size=batch_size))
    found = [
        (Path(row["path"]).relative_to(photos).as_posix(), row["class"])
        for row in rows
    ]
    assert found == [
        ("Föhn 猫.png", "red"),
        ("a/blue.JPG", "green"),
        ("a/broken.jpg", ""),
        ("b/red.png", "blue"),
        ("empty.png", ""),
        ("z.png", "red"),
        ("none.jpg", ""),
        ("z.png", "red"),
    ]
    errors = [row["error"] for row in rows]
    assert "empty file" in errors[4]
    assert errors[6] == "no such file"
    assert [bool(e) for e in errors] == [row["class"] == "" for row in rows]
    assert all(np.isnan(row["probability"]) for row in rows if row["error"])


def test_nothing_but_unreadable_files_is_no_crash(model_path, photos):
    rows = list(predict(model_path, [photos / "empty.png", ROOT / "tests"]))
    assert len(rows) == 1


def test_folders_are_searched_and_files_taken_as_they_are(photos):
    text = photos / "notes.txt"
    found = list(find_photographs([text, photos / "b"]))
    assert found == [text, photos / "b" / "red.png"]


def run(*arguments) -> tuple[int, list[str], str]:
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        status = main(["predict", *map(str, arguments)])
    return status, out.getvalue().splitlines(), error.getvalue()


def test_command_line_prints_a_line_for_each_image(model_path, tmp_path):
    files = [paint(tmp_path / f"{i}.png", name) for i, name in enumerate(NAMES)]
    status, lines, error = run("--model", model_path, *files)
    assert status == 0
    assert error == ""
    for line, file, name in zip(lines, files, NAMES, strict=True):
        path, found, probability = line.split("\t")
        assert (path, found) == (str(file), name)
        assert 0.5 < float(probability) <= 1


def test_exit_status_tells_of_an_unreadable_file(model_path, photos):
    status, lines, _ = run("--model", model_path, photos)
    assert status == 1
    assert len(lines) == 5
    fields = [line.split("\t") for line in lines]
    assert [f[1] for f in fields].count("unreadable") == 2
    assert fields[-1] == [
        str(photos / "empty.png"),
        "unreadable",
        "empty file (0 bytes)",
    ]


def test_table_holds_the_same_lines(model_path, photos, tmp_path):
    path = tmp_path / "answers.csv"
    run("--model", model_path, "--csv", path, photos)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "class", "probability", "error"]
    assert [row["class"] for row in rows] == ["red", "green", "", "blue", ""]
    assert rows[0]["path"].endswith("Föhn 猫.png")
    assert float(rows[0]["probability"]) > 0.5
    assert rows[2]["error"]


def test_no_photographs_at_all_is_said(model_path, tmp_path):
    status, lines, error = run("--model", model_path, tmp_path)
    assert (status, lines) == (1, [])
    assert error == "predict: no photographs found\n"


@pytest.mark.parametrize("kind", ["missing", "not a model", "no card", "name"])
def test_without_a_model_there_is_one_line_and_status_2(
    kind, model_path, tmp_path
):
    path = tmp_path / ("a.h5" if kind == "name" else "a.keras")
    if kind != "missing":
        path.write_bytes(b"no model")
    if kind == "not a model":
        card = model_path.with_suffix(".json").read_text()
        path.with_suffix(".json").write_text(card)
    status, lines, error = run("--model", path, tmp_path)
    assert (status, lines) == (2, [])
    assert error.startswith("predict: ")
    assert error.count("\n") == 1


def test_a_table_that_cannot_be_written_is_said(model_path, tmp_path):
    file = paint(tmp_path / "a.png", "red")
    status, _, error = run("--model", model_path, "--csv", tmp_path, file)
    assert status == 2
    assert error.count("\n") == 1
    assert str(tmp_path) in error


@pytest.mark.parametrize("arguments", [[], ["predict"], ["predict", "a.jpg"]])
def test_wrong_arguments_show_the_usage(arguments):
    error = io.StringIO()
    with redirect_stderr(error), pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m catdog_helpers" in error.getvalue()


def test_the_module_runs_as_a_program(model_path, photos):
    file = photos / "Föhn 猫.png"
    command = [sys.executable, "-m", "catdog_helpers", "predict", "--model"]
    done = subprocess.run(
        [*command, model_path, file, photos / "empty.png"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{file}\tred\t")
    assert "\tunreadable\t" in second
