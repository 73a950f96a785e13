"""The notebooks, executed in order as `make run` executes them."""

import json
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import run as runner
from catdog_helpers.data.runs import load_run
from catdog_helpers.data.sample.draw import draw
from catdog_helpers.features import extract_features
from catdog_helpers.results import load_results, scoreboard, to_scores
from catdog_helpers.saving import load_model

METHODS = ["scratch_cnn", "bottleneck", "fine_tuned"]
FIELDS = {
    "base": str,
    "weights": str,
    "test_log_loss": float,
    "interval_method": str,
    "versions": dict,
    "model": str,
}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A short run of the whole series on the drawn sample."""
    folder = tmp_path_factory.mktemp("series")
    sizes = "IMAGE_SIZE=64 TRAIN=60 VALIDATION=40 TEST=60 EPOCHS=2 SEED=0"
    arguments = f"{sizes} DATA={folder / 'data'} OUT={folder / 'out'}"
    return runner.run(runner.parse_dials(arguments.split()))


@pytest.mark.parametrize("method", METHODS)
def test_each_method_leaves_a_result_and_a_model(out, method):
    result = json.loads((out / "results" / f"{method}.json").read_text())
    for name, kind in FIELDS.items():
        assert isinstance(result[name], kind), name
    low, high = result["test_interval"]
    assert 0 <= low <= result["test_accuracy"] <= high <= 1
    assert result["epochs"] == 2 == len(result["history"]["val_loss"])
    sizes = [result[n] for n in ("n_train", "n_validation", "n_test")]
    assert sizes == [60, 40, 60]
    run = load_run(out)
    assert result["split_sha256"] == run.info["split_sha256"]
    assert result["train_seconds"] == result["history"]["seconds"][-1] > 0
    _, card = load_model(out / "models" / f"{method}.keras")
    assert card["class_names"] == ["cat", "dog"]
    assert card["image_size"] == 64


def test_fine_tuning_moved_the_last_block_and_nothing_before_it(out):
    frozen, _ = load_model(out / "models" / "bottleneck.keras")
    tuned, _ = load_model(out / "models" / "fine_tuned.keras")
    for part, moves in (("front", False), ("back", True), ("head", True)):
        weights = zip(
            frozen.get_layer(part).get_weights(),
            tuned.get_layer(part).get_weights(),
            strict=True,
        )
        moved = [not np.array_equal(a, b) for a, b in weights]
        assert moved
        assert set(moved) == {moves}, part


NOISE = re.compile(
    r"warning|\bWARN|^[IWEF]\d{4} |^(INFO|ERROR):|Assets written|%\|",
    re.MULTILINE | re.IGNORECASE,
)


def outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    return [output for cell in cells for output in cell.get("outputs", [])]


def test_executed_notebooks_have_pictures_and_no_warning(out):
    kept = sorted((out / "notebooks").glob("*.ipynb"))
    assert len(kept) == 5
    for path in kept:
        shown = [output.get("data", {}) for output in outputs(path)]
        assert any("image/png" in data for data in shown), path.name
        assert path.with_suffix(".html").stat().st_size > 100_000
        assert_no_noise(path)


def assert_no_noise(path):
    for output in outputs(path):
        assert output.get("name") != "stderr", f"{path.name}: {output.text}"
        text = output.get("text", "")
        text += output.get("data", {}).get("text/plain", "")
        assert not NOISE.search(text), f"{path.name}: {text}"


def test_the_report_is_one_page_without_code(out):
    runner._write_report(out, {"SEED": 0})
    page = (out / "report.html").read_text("utf-8")
    for heading in ("What to do next", "Class by class", "Labels to check"):
        assert f">{heading}" in page
    assert "trained on drawings" in page
    assert 'name="viewport"' in page
    assert "import numpy" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "data:image/png;base64" in page
    assert (out / "suspects.csv").read_text().startswith("path,labelled,")
    assert "weakest class" in (out / "advice.txt").read_text("utf-8")


def test_shuffled_labels_cannot_be_learned(out):
    """A classifier that beats chance on them has seen its test images."""
    run = load_run(out)
    images, train, test = run.images, run.train, run.test
    front = load_model(out / "models" / "bottleneck.keras")[0].layers[0]
    used = np.flatnonzero(run.manifest.split != "")
    features = extract_features(front, images, used, name="front")
    pooled = np.asarray(features, dtype="float32").mean(axis=(1, 2))

    def accuracy(seed):
        labels = np.random.default_rng(seed).permutation(len(images)) % 2
        head = LogisticRegression(max_iter=1000).fit(
            pooled[train], labels[train]
        )
        return head.score(pooled[test], labels[test])

    # 20 times 60 images: chance is 0.5 give or take 0.014.
    assert np.mean([accuracy(seed) for seed in range(20)]) < 0.56
    leaked = LogisticRegression(max_iter=1000).fit(pooled[test], test % 2)
    assert leaked.score(pooled[test], test % 2) > 0.6


@pytest.mark.slow
def test_three_classes_in_a_folder_of_ones_own(tmp_path):
    """`make run DATASET=<folder>`, class names with spaces and accents.

    The base enlarges the images, which are smaller than usual.
    """
    names = {"une poule": "owl", "mon lapin": "rabbit", "Bär": "bear"}
    for name, kind in names.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(30):
            picture = draw(kind, np.random.default_rng((7, i)), 80)
            picture.save(tmp_path / "photos" / name / f"{i}.jpg")
    given = f"DATASET={tmp_path}/photos DATA={tmp_path}/data OUT={tmp_path}/out"
    sizes = "BASE=sample IMAGE_SIZE=64 RESOLUTION=96 EPOCHS=2"
    out = runner.run(runner.parse_dials(f"{given} {sizes}".split()))
    results = load_results(out)
    assert list(results) == METHODS
    assert [r["resolution"] for r in results.values()] == [64, 96, 96]
    for method, result in results.items():
        assert result["class_names"] == sorted(names)
        answers = np.load(out / "results" / f"{method}.npy")
        assert answers.shape == (result["n_test"], 3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All notebooks but the lab on the sample, as a reader runs them.

    But for half of the epochs, and one training for each point of a curve.
    """
    out = tmp_path_factory.mktemp("whole")
    dials = ["NOTEBOOKS=0-9,11,12", "EPOCHS=30", "SEEDS=1", "REPEATS=5"]
    return runner.run(runner.parse_dials([f"OUT={out}", *dials]))


@pytest.mark.slow
def test_transfer_beats_scratch_on_the_sample(whole):
    """Intervals that do not overlap, and no warning on the way."""
    kept = sorted((whole / "notebooks").glob("*.ipynb"))
    assert len(kept) == 12
    for path in kept:
        assert_no_noise(path)
    results = load_results(whole)
    scratch, *transferred = to_scores(results[m] for m in METHODS).to_dict(
        "records"
    )
    assert 0.6 < scratch["test accuracy"] < 0.95
    for score in transferred:
        assert score["low"] > scratch["high"]


@pytest.mark.slow
def test_controls_are_where_they_belong(whole):
    """Without pretraining little is left; without labels, nothing."""
    results = load_results(whole)
    low, _ = results["bottleneck"]["test_interval"]
    for name in ("control_pixels", "control_random"):
        assert results[name]["test_accuracy"] < low, name
    printed = (whole / "notebooks" / "08_which_base.ipynb").read_text("utf-8")
    mean = float(re.search(r"mean of \d+: ([0-9.]+)", printed)[1])
    assert 0.4 < mean < 0.6  # each one may be off by a tenth and more
    assert "random" in scoreboard(whole).index[list(results).index(name)]


@pytest.mark.slow
def test_the_data_size_curve_rises_and_is_resumed(whole):
    curves = pd.read_csv(whole / "comparison" / "curves.csv")
    lines, stars = curves[~curves.longer], curves[curves.longer]
    assert set(lines["training images"]) == {20, 50, 100, 300}
    assert set(stars["training images"]) == {300}
    mean = lines.pivot_table("test accuracy", "training images", "method")
    assert mean["bottleneck features"][20] > mean["scratch CNN"][20] + 0.2
    star = stars.set_index("method")["test accuracy"]
    assert star["scratch CNN"] > mean["scratch CNN"][20] + 0.1
    results = load_results(whole)
    measured = [results[name]["test_accuracy"] for name in METHODS]
    assert star.to_list() == measured
    pairs = pd.read_csv(whole / "comparison" / "pairs.csv")
    assert len(pairs) == 3
    assert pairs["p (Holm)"].max() <= 1
    notes = whole / "comparison" / "data_size.jsonl"
    measured = notes.read_text().splitlines()
    assert len(measured) == 3 * 3 + 2  # of all images, the CNN is notebook 2's


@pytest.mark.slow
def test_each_pitfall_has_its_price(whole):
    table = pd.read_csv(whole / "pitfalls.csv", index_col="what")
    right = table["test accuracy"]["the right way, frozen base"]
    assert right > 0.9
    lost = table["points lost"].dropna()
    assert set(table["instead of"].dropna()) <= set(table.index)
    for mistake, least in {
        "pixels / 255 instead of preprocessing": 4,
        "pixels / 255 and preprocessing": 30,
        "pixels / 255 at prediction only": 30,
        "answers shuffled, labels not": 30,
    }.items():
        row = table.loc[mistake]
        assert row["lost, low"] <= lost[mistake] <= row["lost, high"]
        assert row["lost, low"] > least, mistake
    # Some seeds catch up and some do not, so the interval may hold 0.
    assert lost["random head, rate of 3e-5"] > 4
    assert table["seed spread"]["random head, rate of 3e-5"] > 2
    assert lost["copies of test images"] < 2  # flatters, or makes no odds
    shuffled = table["test accuracy"]["answers shuffled, labels not"]
    assert shuffled == pytest.approx(0.5, abs=0.1)
    printed = (whole / "notebooks" / "11_pitfalls.ipynb").read_text("utf-8")
    for guard in ("images must be the array", "open weights have not changed"):
        assert guard in printed
