"""The way through the course: lengths, opening lines, words said in time."""

import ast
import re
from pathlib import Path
from types import SimpleNamespace

import keras
import nbformat
import numpy as np
import pandas as pd
import pytest

from catdog_helpers.models import build_cnn, build_head

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COURSE = [path for path in PATHS if "01" <= path.name[:2] <= "05"]
# Each is emphasised where the course first uses it, with its plain words.
TERMS = """
    class; data leakage; training images; validation images; test images; 95
    % interval; batch; augmentation; convolution; pooling; weights;
    activations; batch normalisation; dropout; softmax; loss; cross-entropy;
    gradient; optimizer; learning rate; epoch; overfitting; transfer
    learning; features; early stopping; head; log loss; calibration error;
    out-of-distribution; heat map
"""
BEFORE = {"class", "weights", "features", "head"}  # everyday words, or titles


def cells(path: Path, kind: str) -> list[str]:
    notebook = nbformat.read(path, as_version=4)
    return [c.source for c in notebook.cells if c.cell_type == kind]


def lines(path: Path) -> int:
    """Count lines of code without comments and blank ones."""
    found = "\n".join(cells(path, "code")).splitlines()
    return sum(bool(line.strip()) and line.strip()[0] != "#" for line in found)


def test_the_quick_start_is_one_page_and_the_course_is_short():
    assert len(cells(PATHS[0], "code")) <= 15
    assert lines(PATHS[0]) <= 60
    assert len(COURSE) == 5
    for path in COURSE:
        assert len(nbformat.read(path, as_version=4).cells) <= 45, path.name
    assert sum(map(lines, COURSE)) < 560


@pytest.mark.parametrize("path", COURSE, ids=lambda path: path.stem)
def test_the_first_cell_says_what_came_before(path):
    first, *others = cells(path, "markdown")
    assert re.search(r"\*\*Before this one:\*\* .+\*\*You may skip\*\* ", first)
    for said in ("What it shows.", "What it does not."):
        assert f"**{said}**" in "".join(others)


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
    for term in " ".join(TERMS.split()).split("; "):
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


def built_alike(known: dict, make_shown, make_usual):
    """Build a model as shown and as usual, from the same random numbers."""
    keras.utils.set_random_seed(0)
    shown = make_shown(known)
    keras.utils.set_random_seed(0)
    usual = make_usual()
    for a, b in zip(shown.weights, usual.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    return shown, usual


KNOWN = {"keras": keras, "layers": keras.layers, "names": ["cat", "dog"]}


def test_the_network_in_sight_is_the_one_of_the_package():
    def build(known):
        defined = ("def convolution", "def stage", "keras.Input((None")
        found = run_cells("02", *defined, **known)
        return keras.Model(found["inputs"], found["x"])

    known = KNOWN | {"info": {"image_size": 150}}
    shown, usual = built_alike(known, build, lambda: build_cnn(150, 2))
    x = np.random.default_rng(0).integers(0, 256, (2, 150, 150, 3))
    x = x.astype("float32")
    expected = usual.predict(x, verbose=0)
    np.testing.assert_array_equal(shown.predict(x, verbose=0), expected)


def test_the_head_in_sight_is_the_one_of_the_package():
    def build(known):
        source = next(s for s in cells(COURSE[2], "code") if "build_head" in s)
        exec(source.split("\n\n\n")[0], known)
        return known["build_head"]()

    known = KNOWN | {"features": np.zeros((4, 6))}
    shown, usual = built_alike(known, build, lambda: build_head((6,), 2))
    assert shown.name == usual.name
    kinds = [[type(x) for x in model.layers] for model in (shown, usual)]
    assert kinds[0] == kinds[1]


def test_notebook_4_runs_again_after_notebook_8():
    """Whose heads have no epochs to draw."""
    one = {"seconds_before": 1, "history": {"loss": [1], "seconds": [2]}}
    other = one | {"history": {"loss": [], "seconds": [0.1]}}
    ch = SimpleNamespace(
        load_results=lambda out: {"one": one, "other": other},
        display_name=lambda result: "one" if result is one else "other",
        plot_history=lambda histories, x: None,
    )
    found = run_cells("04", "histories, results", ch=ch, out=None)["histories"]
    assert found == {"one": {"loss": [1], "seconds": [3]}}


def test_file_facts_tell_nothing_but_what_the_files_are_like(tmp_path):
    (tmp_path / "0.x").write_bytes(b"12345")
    images = np.zeros((2, 4, 4, 3), dtype="uint8")
    images[1, ..., 0] = 200
    manifest = pd.DataFrame({"path": ["0.x", "1.x"], "format": ["PNG", "GIF"]})
    manifest = manifest.assign(width=40, height=20)
    known = {"np": np, "pd": pd, "Path": Path, "info": {"folder": tmp_path}}
    known |= {"manifest": manifest, "images": images}
    facts = run_cells("08", "facts = manifest", **known)["facts"]
    assert facts["bytes"].tolist() == [5, 0]  # the second is gone
    assert facts["shape"].tolist() == [2, 2]
    assert facts["red"].tolist() == [0, 200]
    assert facts["PNG"].tolist() == [1, 0]
