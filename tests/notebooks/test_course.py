"""The way through the course: lengths, opening lines, words said in time."""

import ast
import re
from pathlib import Path

import keras
import nbformat
import numpy as np
import pytest

from catdog_helpers.models import build_cnn, build_head
from catdog_helpers.results import METHODS

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COURSE = [path for path in PATHS if "01" <= path.name[:2] <= "05"]
# Each is emphasised where the course first uses it, with its plain words.
TERMS = (
    "class",
    "data leakage",
    "training images",
    "validation images",
    "test images",
    "95 % interval",
    "batch",
    "augmentation",
    "convolution",
    "pooling",
    "weights",
    "activations",
    "batch normalisation",
    "dropout",
    "softmax",
    "loss",
    "cross-entropy",
    "gradient",
    "optimizer",
    "learning rate",
    "epoch",
    "overfitting",
    "transfer learning",
    "features",
    "early stopping",
    "head",
    "log loss",
    "calibration error",
    "out-of-distribution",
    "heat map",
)
BEFORE = {"class", "weights", "features", "head"}  # everyday words, or titles


def cells(path: Path, kind: str) -> list[str]:
    notebook = nbformat.read(path, as_version=4)
    return [c.source for c in notebook.cells if c.cell_type == kind]


def lines(path: Path) -> int:
    """Count lines of code without comments and blank ones."""
    found = "\n".join(cells(path, "code")).splitlines()
    return sum(bool(line.strip()) and line.strip()[0] != "#" for line in found)


def test_the_quick_start_is_one_page():
    path = PATHS[0]
    assert len(cells(path, "code")) <= 15
    assert lines(path) <= 60


def test_the_course_is_short():
    assert len(COURSE) == 5
    for path in COURSE:
        assert len(nbformat.read(path, as_version=4).cells) <= 45, path.name
    assert sum(map(lines, COURSE)) < 560


@pytest.mark.parametrize("path", COURSE, ids=lambda path: path.stem)
def test_the_first_cell_says_what_came_before(path):
    first = cells(path, "markdown")[0]
    assert re.search(r"\*\*Before this one:\*\* .+\*\*You may skip\*\* ", first)
    for said in ("What it shows.", "What it does not."):
        assert f"**{said}**" in "".join(cells(path, "markdown"))


@pytest.mark.parametrize("path", [*PATHS[:6]], ids=lambda path: path.stem)
def test_the_reader_has_few_constants_to_change(path):
    notebook = nbformat.read(path, as_version=4)
    names = [
        node.id
        for cell in notebook.cells
        if "parameters" in cell.metadata.get("tags", [])
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Name)
    ]
    assert names[0] == "DATASET"
    assert len(names) <= 6


def test_each_term_is_explained_where_it_is_first_used():
    text = "\n".join("\n".join(cells(path, "markdown")) for path in COURSE)
    text = re.sub(r"(?ms)\*\*What you'll learn.*?^## ", "", text)
    text = re.sub(r"(?m)^#.*$|`[^`]*`|\]\([^)]*\)", "", text).lower()
    for term in TERMS:
        emphasised = re.search(rf"\*{term}\*", text)
        assert emphasised, f"{term} is never explained"
        if term not in BEFORE:
            first = re.search(rf"\b{term}\b", text)
            near = text[max(0, first.start() - 60) : first.end() + 60]
            assert first.start() == emphasised.start() + 1, f"{term}: {near}"


def run_cells(name: str, *wanted: str, **known) -> dict:
    """Execute those cells of a notebook that hold one of some texts."""
    path = next(path for path in PATHS if path.name.startswith(name))
    for source in cells(path, "code"):
        if any(text in source for text in wanted):
            exec(source, known)
    return known


def test_the_network_in_sight_is_the_one_of_the_package():
    keras.utils.set_random_seed(0)
    known = {"keras": keras, "layers": keras.layers, "names": ["cat", "dog"]}
    defined = ("def convolution", "def stage", "keras.Input((None")
    found = run_cells("02", *defined, info={"image_size": 150}, **known)
    shown = keras.Model(found["inputs"], found["x"])
    keras.utils.set_random_seed(0)
    usual = build_cnn(150, 2)
    for a, b in zip(shown.weights, usual.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    x = np.random.default_rng(0).integers(0, 256, (2, 150, 150, 3))
    x = x.astype("float32")
    expected = usual.predict(x, verbose=0)
    np.testing.assert_array_equal(shown.predict(x, verbose=0), expected)


def test_the_head_in_sight_is_the_one_of_the_package():
    path = next(path for path in COURSE if path.name.startswith("03"))
    source = next(s for s in cells(path, "code") if "def build_head" in s)
    known = {"keras": keras, "layers": keras.layers, "names": ["cat", "dog"]}
    known["features"] = np.zeros((4, 6))
    exec(source.split("\n\n\n")[0], known)
    keras.utils.set_random_seed(0)
    shown = known["build_head"]()
    keras.utils.set_random_seed(0)
    usual = build_head((6,), 2)
    assert shown.name == usual.name
    for a, b in zip(shown.weights, usual.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    kinds = [type(layer) for layer in shown.layers]
    assert kinds == [type(layer) for layer in usual.layers]


def test_every_method_has_a_colour_of_its_own():
    from catdog_helpers.plots import METHOD_COLORS, method_colors

    assert set(METHOD_COLORS) == {name for name, _ in METHODS.values()}
    colors = method_colors(["another", "fine-tuned", "scratch CNN", "third"])
    assert colors["fine-tuned"] == METHOD_COLORS["fine-tuned"]
    assert len(set(colors.values())) == 5
