"""Prediction: the reader's own files, one line each, whatever they are."""

import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import run_command
from keras import layers
from PIL import Image

from catdog_helpers.__main__ import main
from catdog_helpers.data.images import read_image
from catdog_helpers.prediction import predictor
from catdog_helpers.prediction.predictor import predict
from catdog_helpers.saving import save_model

ROOT = Path(__file__).parents[2]
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
    rows = list(predict(model_path, files, with_images=True))
    assert [row["class"] for row in rows] == NAMES
    assert [row["verdict"] for row in rows] == NAMES
    assert [row["path"] for row in rows] == [str(file) for file in files]
    assert all(row["error"] == "" for row in rows)
    x = np.stack([read_image(file, 12) for file in files])
    np.testing.assert_array_equal([row["image"] for row in rows], x)
    model = keras.models.load_model(model_path)
    expected = model.predict_on_batch(x.astype("float32")).max(axis=1)
    found = [row["probability"] for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert "image" not in next(predict(model_path, files))


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


run = partial(run_command, "predict")


def test_the_command_prints_a_line_for_each_image(model_path, tmp_path):
    files = [paint(tmp_path / f"{i}.png", name) for i, name in enumerate(NAMES)]
    status, lines, error = run("--model", model_path, *files)
    assert (status, error) == (0, "")
    fields = [line.split("\t") for line in lines]
    assert [f[:2] for f in fields] == [
        [str(file), name] for file, name in zip(files, NAMES, strict=True)
    ]
    assert all(0.5 < float(f[2]) <= 1 for f in fields)


def test_an_unreadable_file_is_a_line_a_row_and_status_1(
    model_path, photos, tmp_path
):
    table = tmp_path / "answers.csv"
    status, lines, _ = run("--model", model_path, "--csv", table, photos)
    assert (status, len(lines)) == (1, 5)
    assert sum("\tunreadable\t" in line for line in lines) == 2
    broken = f"{photos / 'empty.png'}\tunreadable\tempty file (0 bytes)"
    assert lines[-1] == broken
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    columns = ["path", "class", "probability", "verdict", "error", "model"]
    assert list(rows) == columns
    assert list(rows["class"]) == ["red", "green", "", "blue", ""]
    assert rows.path[0].endswith("Föhn 猫.png")
    assert float(rows.probability[0]) > 0.5
    assert rows.error[2]


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


@pytest.mark.parametrize(
    ("called", "program"),
    [
        ("/x/bin/catdog", "catdog"),
        ("/x/__main__.py", "python -m catdog_helpers"),
    ],
)
def test_usage_and_help_name_the_program_as_called(
    called, program, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", [called])
    for arguments in ([], ["predict"], ["predict", "a.jpg"], ["train"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert f"usage: {program} " in capsys.readouterr().err
    for command in ("predict", "export"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text = capsys.readouterr().out
        example = text.partition("examples:")[2].partition("exit")[0]
        assert f"  {program} {command} " in example
        assert "130  stopped by Ctrl-C" in text


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    expected = f"catdog-helpers {project['project']['version']}\n"
    assert capsys.readouterr().out == expected


def test_a_wrong_option_is_named_as_it_is_typed(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--model", "a.keras", "--batch-size", "1.5", "a.jpg"])
    assert "--batch-size: invalid int" in capsys.readouterr().err
    status, _, error = run("--model", "a.keras", "--batch-size", 0, "a.jpg")
    assert status == 2
    assert "predict: --batch-size must be 1 or more. Received: 0" in error
    export = ["export", "--model", "a.keras", "--to", "a", "--format", "onnx"]
    assert main([*export, "--int8"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("export: --format must be litert with --int8.")


def program(*arguments, **options) -> subprocess.CompletedProcess:
    """Run the command as a program of its own."""
    return subprocess.run(
        [sys.executable, "-m", "catdog_helpers", *map(str, arguments)],
        cwd=ROOT,
        **{"stdout": subprocess.PIPE} | options,
        stderr=subprocess.PIPE,
    )


def test_a_good_run_has_no_line_on_standard_error(model_path, photos):
    """And an output that is not UTF-8 gets an escape for what it lacks."""
    file = photos / "Föhn 猫.png"
    encoding = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = program("predict", "--model", model_path, file, env=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    path = f"{photos}/Föhn \\u732b.png".encode("latin-1")
    assert done.stdout.startswith(path + b"\tred\t0.9")
    assert done.stdout.count(b"\n") == 1


def test_an_output_that_is_closed_stops_it_without_a_word(model_path, photos):
    read, write = os.pipe()
    os.close(read)
    done = program("predict", "--model", model_path, photos, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_stream_does_no_harm(
    closed, model_path, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, closed, None)  # as `>&-` and `2>&-` leave it
    table, model = str(tmp_path / "t.csv"), str(model_path)
    assert main(["predict", "--model", model, "--csv", table, str(photos)]) == 1
    assert len(pd.read_csv(table)) == 5


@pytest.mark.parametrize("table", [[], ["--csv", "t.csv"]])
def test_ctrl_c_before_the_model_is_there_is_one_line(
    table, model_path, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)

    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr("catdog_helpers.machine.backend.use_backend", stop)
    arguments = ["predict", "--model", str(model_path), *table, "a.png"]
    assert main(arguments) == 130
    goes_on = "; the same command goes on" if table else ""
    assert capsys.readouterr().err == f"predict: stopped{goes_on}\n"


def test_a_name_cannot_forge_a_line(model_path, tmp_path):
    name = "a\tcat\t1.0000\nb\x1b[2J\u2028c\u202egpj.png"
    file = paint(tmp_path / name, "red")
    table = tmp_path / "t.csv"
    status, lines, _ = run("--model", model_path, "--csv", table, file)
    assert status == 0
    (line,) = lines
    shown = r"a\tcat\t1.0000\nb\x1b[2J\u2028c\u202egpj.png"
    assert line.split("\t")[:2] == [f"{tmp_path}/{shown}", "red"]
    *_, error = run("--model", model_path, "--csv", tmp_path / name, file)
    assert error.count("\n") == 1
    assert "\x1b" not in error


def test_between_two_classes_both_are_named(model_path, tmp_path):
    """And the line says whose probability it is."""
    file = tmp_path / "a.png"
    Image.new("RGB", (20, 20), (5, 250, 245)).save(file)
    (near,) = predict(model_path, file.read_bytes())
    assert near["verdict"] == "blue or green"
    assert near["class"] == "green"
    assert 0.5 < near["probability"] < 0.8
    _, (line,), _ = run("--model", model_path, file)
    assert re.fullmatch(r".*\tblue or green\tgreen 0\.[567]\d{3}", line)


def test_a_file_that_was_half_synced_is_tried_again(model_path, tmp_path):
    table, file = tmp_path / "t.csv", tmp_path / "in" / "a.png"
    whole = paint(file, "red").read_bytes()
    command = ["--model", model_path, "--csv", table, tmp_path / "in"]
    for data, expected in ((whole[:40], 1), (whole[:40], 1), (whole, 0)):
        file.write_bytes(data)
        status, (line,), error = run(*command)
        assert status == expected
        assert ("unreadable" in line) == bool(expected)
    assert "goes on: 1 new rows" in error
    assert list(pd.read_csv(table)["class"]) == ["red"]


@pytest.fixture
def left_right(tmp_path):
    """A model that sees only the left half of a picture, and its picture."""
    path = tmp_path / "left.keras"
    dense = layers.Dense(2, activation="softmax", use_bias=False)
    rows = [keras.Input((2, 2, 3)), layers.Rescaling(1 / 255)]
    model = keras.Sequential([*rows, layers.Flatten(), dense])
    kernel = np.zeros((12, 2))
    kernel[0] = 3, 0  # red of the pixel at the top left
    dense.set_weights([kernel])
    save_model(model, path, {"class_names": ["on", "off"], "image_size": 2})
    picture = np.zeros((2, 2, 3), dtype="uint8")
    picture[0, 0] = 255
    return path, Image.fromarray(picture)


def test_mirror_averages_both_views(left_right):
    path, picture = left_right
    (plain,) = predict(path, picture)
    (both,) = predict(path, picture, mirror=True)
    seen = np.exp(3) / (np.exp(3) + 1)
    assert plain["probability"] == pytest.approx(seen, rel=1e-5)
    assert both["probability"] == pytest.approx((seen + 0.5) / 2, rel=1e-5)


def test_the_model_always_gets_batches_of_one_shape(
    model_path, photos, monkeypatch
):
    """Another shape would be compiled anew."""
    shapes, real = set(), keras.Model.predict_on_batch

    def spy(self, x):
        shapes.add(x.shape)
        return real(self, x)

    monkeypatch.setattr(keras.Model, "predict_on_batch", spy)
    list(predict(model_path, photos, batch_size=2))
    assert shapes == {(2, 12, 12, 3)}


def test_too_little_memory_is_said_and_what_was_answered_is_kept(
    model_path, tmp_path, monkeypatch, capsys
):
    for number in range(5):
        paint(tmp_path / "in" / f"{number}.png", "red")
    calls, whole = [], keras.Model.predict_on_batch

    def predict_on_batch(self, x):
        calls.append(len(x))
        if len(calls) == 2:
            raise RuntimeError("RESOURCE_EXHAUSTED: 9 GB")
        return whole(self, x)

    monkeypatch.setattr(keras.Model, "predict_on_batch", predict_on_batch)
    table = tmp_path / "t.csv"
    options = ["--model", model_path, "--csv", table, "--batch-size", 4]
    status, _, error = run(*options, tmp_path / "in")
    assert status == 2
    assert error.count("\n") == 1
    assert "4 images at a time" in error
    assert "try --batch-size 2" in error
    assert len(table.read_text("utf-8").splitlines()) == 1 + 4


def test_photographs_are_read_ahead_but_not_far(model_path, tmp_path):
    """And a reader that stops leaves no thread behind."""
    taken, before = [], threading.active_count()
    file = paint(tmp_path / "a.png", "red")

    def sources():
        for number in range(1000):
            taken.append(number)
            yield file

    rows = predict(model_path, sources(), batch_size=2)
    assert next(rows)["class"] == "red"
    assert 2 < len(taken) <= 16
    rows.close()
    assert threading.active_count() <= before


@pytest.mark.parametrize("mirror", [False, True])
def test_a_large_folder_is_answered_by_openvino(
    mirror, model_path, tmp_path, monkeypatch
):
    """The same answers; only a folder's size is known beforehand."""
    pytest.importorskip("openvino")
    files = [paint(tmp_path / f"{i}.png", NAMES[i % 3]) for i in range(9)]
    expected = list(predict(model_path, tmp_path, mirror=mirror))
    asked = []

    def choose(model, x, n_images, name):
        asked.append(n_images)
        return "openvino"

    monkeypatch.setattr(predictor, "choose", choose)
    monkeypatch.setattr(predictor, "MANY", 9)
    list(predict(model_path, (file for file in files)))
    list(predict(model_path, files[:8]))
    assert asked == []
    found = list(predict(model_path, tmp_path, mirror=mirror))
    assert asked == [9]
    for one, other in zip(expected, found, strict=True):
        assert one["verdict"] == other["verdict"]
        assert one["probability"] == pytest.approx(other["probability"], 1e-4)
    # A number format that changes answers is not taken.
    monkeypatch.setattr(predictor, "choose", lambda *_: "bfloat16")
    assert list(predict(model_path, tmp_path, mirror=mirror)) == expected


def test_a_model_of_drawings_says_so_once(model_path, tmp_path):
    model = keras.models.load_model(model_path)
    card = {"class_names": NAMES, "image_size": 12, "trained_on": "drawings"}
    save_model(model, tmp_path / "drawn.keras", card)
    file = paint(tmp_path / "a.png", "red")
    status, _, error = run("--model", tmp_path / "drawn.keras", file, file)
    assert status == 0
    said = "trained on drawings; it knows nothing of photographs"
    assert error == f"predict: {said}\n"


def test_sort_copies_into_a_folder_for_each_verdict(model_path, tmp_path):
    """Same names side by side, a second run adds nothing, nothing moves."""
    folder, out = tmp_path / "in", tmp_path / "sorted"
    first = paint(folder / "a" / "x.png", "red", side=20)
    paint(folder / "b" / "x.png", "red", side=21)
    paint(folder / "c" / "x.png", "blue")
    (folder / "broken.png").write_bytes(b"no")
    (out / "blue").mkdir(parents=True)
    (out / "blue" / "x.png").write_text("mine")
    for _ in range(2):
        status, *_ = run("--model", model_path, "--sort", out, folder)
        assert status == 1
    names = sorted(p.relative_to(out).as_posix() for p in out.rglob("[!.]*.*"))
    assert len(names) == 4
    assert [re.sub("-[0-9a-f]{12}", "-#", name) for name in names] == [
        "blue/x-#.png",
        "blue/x.png",
        "red/x-#.png",
        "red/x.png",
    ]
    assert (out / "blue" / "x.png").read_text() == "mine"
    assert (out / "red" / "x.png").read_bytes() == first.read_bytes()
    assert len(list(folder.rglob("*.png"))) == 4


@pytest.mark.slow
def test_kills_at_any_moment_leave_one_row_and_copy_each(model_path, tmp_path):
    folder, table, out = tmp_path / "in", tmp_path / "t.csv", tmp_path / "out"
    files = [paint(folder / f"{i}.png", "red") for i in range(300)]
    command = ["predict", folder, "--model", model_path, "--csv", table]
    command = list(map(str, [*command, "--sort", out, "--batch-size", 1]))
    for kill in range(4):
        before = table.stat().st_size if table.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-m", "catdog_helpers", *command],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        # It is killed in the middle of a row, not while it starts.
        while process.poll() is None:
            if table.exists() and table.stat().st_size > before + 100:
                time.sleep(0.03 * kill)
                process.kill()
            time.sleep(0.005)
    done = program(*command)
    assert done.returncode == 0, done.stderr
    assert sorted(pd.read_csv(table).path) == sorted(map(str, files))
    copies = [path.name for path in out.rglob("*") if path.is_file()]
    assert sorted(copies) == sorted([*(x.name for x in files), ".lock"])


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_that_is_no_utf8_is_written_and_known_again(
    model_path, tmp_path
):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(name, "wb") as file:
        file.write(paint(tmp_path / "x" / "a.png", "red").read_bytes())
    table, out = tmp_path / "t.csv", tmp_path / "out"
    command = ["--model", model_path, "--csv", table, "--sort", out]
    status, lines, _ = run(*command, os.fsdecode(name))
    assert status == 0
    assert "caf\\xe9.png\tred" in lines[0]
    assert "caf\\xe9.png" in table.read_text("utf-8")
    assert len(list((out / "red").iterdir())) == 1
    *_, error = run(*command, os.fsdecode(name))
    assert "0 new rows" in error


def test_copies_are_not_read_again(model_path, tmp_path):
    folder = tmp_path / "in"
    for i, color in enumerate(COLORS):
        paint(folder / "z" / f"{i}.png", color)
    for _ in range(2):
        command = ["--model", model_path, "--sort", folder / "sorted", folder]
        status, lines, _ = run(*command, "--batch-size", 1)
        assert (status, len(lines)) == (0, 3)
    status, lines, _ = run("--model", model_path, "--sort", folder, folder)
    assert status == 1
    assert lines == [
        f"{folder}\tunreadable\tphotographs are copied to this folder"
    ]


MANY = """
import sys
from pathlib import Path
from catdog_helpers.prediction.predictor import predict

def anonymous():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024  # MB

model, folder, table, n = sys.argv[1:]
files = [file.read_bytes() for file in sorted(Path(folder).iterdir())]
sources = ((f"{i}.png", files[i % len(files)]) for i in range(int(n)))
seen = []
for number, row in enumerate(predict(model, sources, csv=table)):
    if number % 1000 == 999:
        seen.append(anonymous())
print(number + 1, seen[0], max(seen))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hundred_thousand_photographs_take_no_more_memory(
    model_path, tmp_path
):
    for name in COLORS:
        paint(tmp_path / "in" / f"{name}.png", name)
    (tmp_path / "in" / "z.png").write_bytes(b"broken")
    command = [sys.executable, "-c", MANY, model_path, tmp_path / "in"]
    done = subprocess.run(
        [*command, tmp_path / "t.csv", "100000"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    n, first, most = map(float, done.stdout.split())
    assert n == 100_000
    assert most - first < 30
