"""The lab: its checks tell right from wrong, and its notebook runs."""

import json
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

import lab
import run as runner
from catdog_helpers.data.layout import index_images, species_of
from catdog_helpers.data.sample import draw
from catdog_helpers.results import load_results

PATH = runner.ROOT / "notebooks" / "10_pet_breeds_lab.ipynb"
NAMES = list(lab.TASKS)
WRONG = {
    "to_raw": lambda pixels: pixels * 255,
    "open_last": lambda model, n: None,
    "rate_at": lambda step, steps, peak, warmup: peak,
    "worth_it": lambda frozen, tuned: tuned.mean() > frozen.mean(),
    "most_confused": lambda c, n: [(0, 0), (1, 1), (2, 2)][:n],
}


tasks = pytest.mark.parametrize("name", NAMES)


@tasks
def test_a_right_answer_is_told_to_be_right(name, capsys):
    solve = lab.TASKS[name].solve
    mine = lambda *arguments: solve(*arguments)  # noqa: E731, as a student may
    assert lab.check(name, mine) is mine
    assert "right. Well done" in capsys.readouterr().out


@tasks
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "not yet|should give|yours gives|Hint"),
        (lambda *_: ..., "still open"),
        (lambda *_: 1 / 0, "stops with ZeroDivisionError"),
        (lambda *_: "cat", "not yet"),
        (lambda *_: [[1], [2, 3]], "not yet"),
    ],
)
def test_a_wrong_answer_gets_the_example_and_a_hint(
    name, answer, words, capsys
):
    answer = answer or WRONG[name]
    assert lab.check(name, answer) is lab.TASKS[name].solve
    said = capsys.readouterr().out
    for word in (f"{name}(", *words.split("|")):
        assert word in said


@tasks
def test_the_example_alone_cannot_be_learned_by_heart(name):
    task, calls = lab.TASKS[name], []

    def cheat(*arguments):
        calls.append(1)
        if len(calls) == 1:
            return task.solve(*arguments)
        return task.solve(*task.example())

    assert lab.check(name, cheat) is task.solve


@pytest.mark.parametrize(
    "wrong",
    [
        lambda frozen, tuned: True,
        lambda frozen, tuned: False,
        lambda frozen, tuned: lab.ch.study.mcnemar(frozen, tuned)["p"] < 0.05,
    ],
)
def test_half_of_what_makes_it_worth_it_is_not_enough(wrong):
    assert lab.check("worth_it", wrong) is lab.worth_it


@pytest.mark.parametrize(
    ("pairs", "same"),
    [
        ([(0, 1), (0, 2)], True),
        (np.array([[2, 1], [1, 0]]), True),
        ([(0, 1), (0, 1)], False),
        ([(0, 0), (0, 1)], False),
        ([(0, 1)], False),
        ([(-1, 1), (0, 1)], False),
    ],
)
def test_pairs_that_tie_may_come_in_any_order(pairs, same):
    confusion = np.array([[5, 2, 2], [2, 5, 0], [0, 2, 5]])
    wanted = lab.most_confused(confusion, 2)
    task = lab.TASKS["most_confused"]
    assert task.same(pairs, wanted, (confusion, 2)) == same


def test_a_students_function_cannot_change_what_it_is_tried_with():
    def spoil(confusion, n):
        confusion[:] = 0  # then all pairs would be as good as any
        return [(0, 1), (0, 2), (0, 3)][:n]

    assert lab.check("most_confused", spoil) is lab.most_confused


def test_the_notebook_has_all_tasks_and_no_solution():
    text = "".join(c.source for c in nbformat.read(PATH, 4).cells)
    for name in NAMES:
        assert f"def {name}(" in text
        assert f'lab.check("{name}", {name}, solution=SOLUTION)' in text
        assert lab.source(name).strip() not in text
    cells = nbformat.read(PATH, 4).cells
    first = next(i for i, c in enumerate(cells) if "## Task 1" in c.source)
    assert first <= 10


def test_the_drawn_breeds_are_in_the_layout_of_oxford(tmp_path):
    draw.draw_breeds(tmp_path, n_per_breed=4, image_size=32)
    table = index_images(tmp_path)
    assert table.groupby(["class", "split"]).size().tolist() == [2] * 16
    species = species_of(tmp_path)
    assert set(species) == set(draw.breeds()) == set(table["class"])
    for breed, kind in species.items():
        assert (kind == "cat") == breed[0].isupper()


def execute(tmp_path, **dials):
    usual = {"DATASET": "sample_breeds", "OUT": tmp_path / "out"}
    usual |= {"NOTEBOOKS": 10, "DATA": tmp_path / "data"}
    values = (f"{k}={v}" for k, v in (usual | dials).items())
    out = runner.run(runner.parse_dials(values))
    return out, printed(out / "notebooks" / PATH.name)


def printed(path):
    cells = nbformat.read(path, 4).cells
    outputs = [o for c in cells for o in c.get("outputs", [])]
    return "".join(o.text for o in outputs if o.output_type == "stream")


SHORT = {"IMAGE_SIZE": 48, "EPOCHS": 1}


@pytest.mark.slow
def test_the_finished_lab_runs(tmp_path):
    out, text = execute(tmp_path, **SHORT, SOLUTION=True)
    assert text.count("The worked solution is used.") == 5
    assert "Hint" not in text
    results = load_results(out)
    assert list(results) == ["lab_bottleneck", "lab_fine_tuned"]
    for result in results.values():
        assert result["n_train"] == 160  # training and validation images
        assert result["n_test"] == 160
        assert result["test_accuracy"] > 2 / 8
    assert "species accuracy" in text
    assert "top-3 accuracy" in text


@pytest.mark.slow
def test_the_unsolved_lab_says_what_is_to_do_and_starts_from_a_model(tmp_path):
    out, _ = execute(tmp_path / "pets", **SHORT, DATASET="sample")
    assert "name no species" in printed(out / "notebooks" / PATH.name)
    dials = {"DATASET": "sample", "BASE": "sample", **SHORT}
    dials |= {"OUT": str(tmp_path / "cd"), "DATA": str(tmp_path / "data")}
    dials |= {"TRAIN": 40, "VALIDATION": 20, "TEST": 20}
    series = runner.series()
    cats = runner.run(dials, [series[number] for number in (1, 3, 4)])
    model = cats / "models" / "fine_tuned.keras"
    out, text = execute(tmp_path, **SHORT, CATDOG_MODEL=model)
    assert text.count("still open") == 5
    assert "lab_from_catdog" in load_results(out)


EDGES = {
    "uneven": {"many": 200, "few": 10},
    "200 classes": {f"class {i:03}": 4 for i in range(200)},
    "any script": {"犬 と 猫": 12, "кошка": 12, "Bär & Co": 12, "قط": 12},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EDGES)
def test_odd_data_go_through_the_series(tmp_path, photographs, name):
    folder = photographs(tmp_path / "my photos", EDGES[name], side=48)
    dials = {"BASE": "sample", "NOTEBOOKS": "1-4,10", **SHORT}
    out, _ = execute(tmp_path, DATASET=folder, **dials)
    results = load_results(out)
    assert {"scratch_cnn", "bottleneck", "fine_tuned"} <= set(results)
    advice = (out / "advice.txt").read_text("utf-8")
    assert ("Uneven" in advice) == (name == "uneven")
    assert "test images" in advice
    for path in (out / "notebooks").glob("*.ipynb"):
        assert "Glyph" not in printed(path), path.name


@pytest.mark.slow
@pytest.mark.alone
def test_seventeen_real_breeds(shared, tmp_path):
    """206 photographs to learn from, chance 0.06; six minutes on two cores."""
    weights = shared / "weights" / "mobilenet_v2_1.0_224_no_top.weights.h5"
    start = time.perf_counter()
    out, text = execute(
        tmp_path,
        DATASET=shared / "data" / "oxford_pets_layout",
        BASE="MobileNetV2",
        WEIGHTS=weights,
        IMAGE_SIZE=192,
        SOLUTION=True,
    )
    seconds = time.perf_counter() - start
    results = load_results(out)
    print(f"{seconds:.0f} s", text)
    best = text.partition("best by validation: ")[2].split()[0]
    result = json.loads(Path(out, "results", f"lab_{best}.json").read_text())
    assert result["test_accuracy"] >= 0.68
    share = float(text.partition("species accuracy: ")[2].split()[0])
    assert share >= 0.98
    assert seconds < 360
    assert len(results) == 2
