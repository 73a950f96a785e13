"""One test set, one scoreboard: figures with their intervals, on one split."""

import json
import warnings
from itertools import product

import keras
import numpy as np
import pytest
from conftest import (
    HISTORY,
    make_model,
    pictures_to_test,
    refused,
)
from conftest import save_method as save
from keras import layers
from sklearn.metrics import accuracy_score, log_loss

from catdog_helpers.data.runs import load_run, save_split
from catdog_helpers.data.splits import split
from catdog_helpers.evaluation import (
    calibration_error,
    save_result,
    score,
    wilson_interval,
)
from catdog_helpers.results import (
    display_name,
    last_method,
    load_results,
    scoreboard,
    to_scores,
)
from catdog_helpers.saving import load_model, save_model


def change(path, **values) -> None:
    """Change values of a JSON file."""
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(content | values), "utf-8")


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_has_the_published_values(correct, n, low, high):
    interval = wilson_interval(correct, n)
    np.testing.assert_allclose(interval, (low, high), atol=5e-5)
    mirrored = wilson_interval(n - correct, n)
    np.testing.assert_allclose(mirrored, (1 - high, 1 - low), atol=5e-5)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_score_agrees_with_scikit_learn(n_classes):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(n_classes), 200)
    labels = rng.integers(0, n_classes, 200)
    measured = score(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    assert measured["test_accuracy"] == accuracy_score(labels, predicted)
    expected = log_loss(labels, probabilities)
    assert measured["test_log_loss"] == pytest.approx(expected, rel=1e-6)
    low, high = measured["test_interval"]
    assert low < measured["test_accuracy"] < high
    assert measured["interval_method"] == "Wilson score, 95 %"
    sure = score(np.array([[1.0, 0.0]], "float32"), [1])
    assert sure["test_log_loss"] == pytest.approx(-np.log(1e-7))  # finite


@pytest.mark.parametrize(
    ("sure", "right", "error"),
    [
        ([0.9] * 10, [1] * 9 + [0], 0.0),
        ([0.9] * 10, [1] * 10, 0.1),
        ([1.0] * 4, [0] * 4, 1.0),
        # Two bins: |0.75 - 0.5| and |0.95 - 1|, weighed by their images
        ([0.75, 0.75, 0.95, 0.95], [1, 0, 1, 1], 0.15),
        # One bin (14/15, 1]: |0.97 - 0.5|, although each end is off by more
        ([0.95, 0.99], [0, 1], 0.47),
        # On an edge: 0.6 = 9/15 belongs to the bin below, 0.61 does not
        ([0.6, 0.61], [1, 0], 0.505),
    ],
)
def test_calibration_error_of_hand_made_answers(sure, right, error):
    sure = np.array(sure)
    probabilities = np.stack([1 - sure, sure], axis=1)
    found = calibration_error(probabilities, np.array(right))
    assert found == pytest.approx(error, abs=1e-9)


def test_a_result_holds_all_that_is_needed_to_judge_it(run_dir):
    result = save(run_dir, base="/some/own.keras", weights="/w/mine.h5")
    assert result["method"] == "scratch_cnn"
    assert result["dataset"] == "tiny"
    assert (result["base"], result["weights"]) == ("own.keras", "mine.h5")
    sizes = [result[f"n_{part}"] for part in ("train", "validation", "test")]
    assert sizes == [24, 8, 8]
    assert result["image_size"] == result["resolution"] == 16
    assert result["split_sha256"] == load_run(run_dir).info["split_sha256"]
    assert result["epochs"] == 2
    assert result["train_seconds"] == 2.5
    assert {"keras", "numpy"} <= set(result["versions"])
    assert {"test_accuracy", "test_interval", "test_log_loss"} <= set(result)
    path = run_dir / "results" / "scratch_cnn.json"
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read == result | {"test_interval": list(result["test_interval"])}


def test_a_result_tells_to_what_the_model_enlarges_the_images(run_dir):
    base = keras.Sequential([keras.Input((16, 16, 3)), layers.Resizing(20, 20)])
    result = save(run_dir, model=make_model(first=(base,)))
    assert (result["image_size"], result["resolution"]) == (16, 20)
    assert load_model(run_dir / result["model"])[1]["resolution"] == 20


def test_a_result_is_measured_on_the_test_images(run_dir):
    result, run = save(run_dir), load_run(run_dir)
    model, card = load_model(run_dir / result["model"])
    y = model.predict_on_batch(pictures_to_test(run_dir))
    names = run.manifest["class"][run.test]
    truth = [card["class_names"].index(name) for name in names]
    assert result["test_accuracy"] == (y.argmax(axis=1) == truth).mean()
    stored = np.load(run_dir / "results" / "scratch_cnn.npy")
    np.testing.assert_allclose(stored, y, atol=1e-6)


@pytest.mark.parametrize("mistake", ["other weights", "swapped", "raw"])
def test_a_model_that_does_not_repeat_its_figures_is_refused(run_dir, mistake):
    model = make_model()
    model.set_weights([9 * w for w in model.get_weights()])  # sure of itself
    x = pictures_to_test(run_dir)
    if mistake == "raw":
        x = x / 255  # as if preprocessing were not part of the model
    probabilities = model.predict_on_batch(x)
    if mistake == "swapped":  # as if the classes had another order
        probabilities = probabilities[:, ::-1]
    if mistake == "other weights":
        model = make_model(seed=1)
    with pytest.raises(RuntimeError, match="joined wrongly"):
        save_result(run_dir, "scratch_cnn", model, probabilities, HISTORY)
    assert not (run_dir / "results" / "scratch_cnn.json").exists()


def test_a_model_that_is_saved_wrongly_is_refused(run_dir, monkeypatch):
    def save_another(model, path, card, uncertainty):
        save_model(make_model(seed=1), path, card, uncertainty)

    monkeypatch.setattr("catdog_helpers.evaluation.save_model", save_another)
    with pytest.raises(RuntimeError, match="saved wrongly"):
        save(run_dir)
    assert not list((run_dir / "results").glob("*"))


def test_results_come_in_the_order_of_the_series(run_dir):
    series = ["scratch_cnn", "bottleneck", "fine_tuned"]
    for method in ("my_own", "control_pixels", "a_twice", *reversed(series)):
        save(run_dir, method)
    order = [*series, "a_twice", "my_own", "control_pixels"]
    assert list(load_results(run_dir)) == order


def test_a_result_of_another_split_is_left_out_with_a_warning(run_dir):
    save(run_dir, "scratch_cnn")
    run = load_run(run_dir)
    images, manifest, info = run.images, run.manifest, run.info
    other = split(manifest, train=24, validation=8, test=8, seed=1)
    names = {"dataset": "tiny", "folder": info["folder"]}
    save_split(run_dir, images, other, **names, seed=1)
    save(run_dir, "bottleneck")
    with pytest.warns(UserWarning, match="scratch_cnn.json .*another split"):
        assert list(load_results(run_dir)) == ["bottleneck"]


WRONG = [None, True, "x", -1, float("nan"), 10**30, [], ["x"], {}, {"x": 1}]


def test_a_result_with_a_wrong_value_is_left_out_or_can_be_used(run_dir):
    """Every key, every type: a warning with its name, or a table."""
    save(run_dir, "bottleneck")
    path = run_dir / "results" / "bottleneck.json"
    good = json.loads(path.read_text())
    left_out = set()
    for key, value in product(good, ["missing", *WRONG]):
        changed = good | {key: value}
        if value == "missing":
            del changed[key]
        path.write_text(json.dumps(changed))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = load_results(run_dir)
        if not found:
            left_out.add(key)
            assert "bottleneck.json" in str(caught[0].message)
        else:
            assert len(to_scores(found.values())) == 1
            last_method(found)
    free = {"preprocessing", "weights_sha256", "uncertainty_sha256"}
    free |= {"interval_method", "calibration_method", "versions"}
    assert left_out == set(good) - free


SHAPE = (8, 2)
WRONG_ANSWERS = None, [{"a": 1}], np.full((7, 2), 0.5), np.full(SHAPE, "a")
WRONG_ANSWERS += np.full(SHAPE, np.nan), np.full(SHAPE, 2.0)


@pytest.mark.parametrize("array", WRONG_ANSWERS)
def test_a_result_without_its_probabilities_is_left_out(run_dir, array):
    save(run_dir)
    path = run_dir / "results" / "scratch_cnn.npy"
    path.write_bytes(b"no array")
    if array is not None:
        np.save(path, np.array(array), allow_pickle=True)
    with pytest.warns(UserWarning, match="no probabilities of shape"):
        assert load_results(run_dir) == {}


def test_what_is_refused_replaces_nothing(run_dir):
    """Wrong shapes, a training that diverged, the model of another data set."""
    save(run_dir)
    path = run_dir / "models" / "scratch_cnn.keras"
    before, model = path.read_bytes(), make_model(1)
    y = np.full((8, 2), 0.5)
    for probabilities, said in (
        (np.full((8, 3), 1 / 3), "Received: "),
        (np.full((8, 1), 1.0), "Received: "),
        (y[1:], "Received: "),
        (y + np.nan, "diverged, so lower its learning"),
    ):
        answers = model, probabilities, HISTORY
        refused(ValueError, said, save_result, run_dir, "scratch_cnn", *answers)
    change(run_dir / "dataset.json", dataset="another")
    refused(ValueError, "another data set, 'tiny'.*OUT", save, run_dir)
    assert path.read_bytes() == before


def test_a_damaged_result_is_left_out_with_its_name(run_dir):
    """So is a copy of one, which does not stand in for it."""
    save(run_dir, "scratch_cnn")
    path = run_dir / "results" / "scratch_cnn.json"
    copy = path.with_name("scratch_cnn (1).json")
    other = path.read_text().replace("tiny", "other")
    for text in ("", "[]", "{}", '{"method": "x"}', '{"a', other):
        copy.write_text(text)
        with pytest.warns(UserWarning, match=r"cnn \(1\).json is damaged"):
            found = load_results(run_dir)
        assert found["scratch_cnn"]["dataset"] == "tiny"


def test_what_was_built_on_another_base_is_left_out(run_dir):
    """Notebook 3 was run again with another base; 4 was not."""
    for method in ("bottleneck", "fine_tuned", "fine_tuned_twice"):
        save(run_dir, method, base="VGG16", weights="imagenet")
    save(run_dir, "base_ResNet50", base="ResNet50", weights="imagenet")
    assert len(load_results(run_dir)) == 4
    save(run_dir, "bottleneck", base="MobileNetV2", weights="imagenet")
    with pytest.warns(UserWarning, match="fine_tuned.*does not have the base"):
        found = load_results(run_dir)
    assert list(found) == ["bottleneck", "base_ResNet50"]


def test_scoreboard_has_a_line_for_each_method(run_dir):
    save(run_dir, "scratch_cnn")
    result = save(
        run_dir, "bottleneck", weights="random", seconds_before=10.0, seed=1
    )
    table = scoreboard(run_dir)
    assert list(table.index) == [
        "scratch CNN",
        "bottleneck features (random base)",
    ]
    row = table.loc["bottleneck features (random base)"]
    assert row["test accuracy"] == result["test_accuracy"]
    assert (row["low"], row["high"]) == result["test_interval"]
    assert row["training images"] == 24
    assert row["seconds"] == 12.5
    parts = row["seconds to prepare"], row["seconds to train"]
    assert parts == (10.0, 2.5)
    assert row["calibration error"] == result["test_calibration_error"]
    assert row["trainable parameters"] == 16 * 16 * 3 * 2 + 2
    assert 100 < row["peak memory (MB)"] < 10_000
    size = (run_dir / result["model"]).stat().st_size
    assert row["file size (MB)"] == size / 1e6
    assert 0 < row["milliseconds a photograph"] < 1000


def test_a_model_trained_on_drawings_says_so(run_dir):
    assert "trained_on" not in save(run_dir)
    change(run_dir / "dataset.json", dataset="sample")
    save(run_dir, "bottleneck")
    card = run_dir / "models" / "bottleneck.json"
    assert json.loads(card.read_text("utf-8"))["trained_on"] == "drawings"


def test_weights_that_were_frozen_do_not_count_as_trained(run_dir):
    front = keras.Sequential([*make_model().layers[:2], layers.Dense(7)])
    front.trainable = False
    head = keras.Sequential([layers.Dense(2, activation="softmax")])
    joined = keras.Sequential([keras.Input((16, 16, 3)), front, head])
    result = save(run_dir, "bottleneck", joined)
    assert result["trainable_parameters"] == 7 * 2 + 2


def test_results_of_before_have_no_costs_but_are_shown(run_dir):
    save(run_dir, "scratch_cnn")
    save(run_dir, "bottleneck")
    path = run_dir / "results" / "scratch_cnn.json"
    new = {"test_calibration_error", "trainable_parameters", "label"}
    new |= {"peak_memory_mb", "file_mb", "milliseconds"}
    old = json.loads(path.read_text())
    path.write_text(json.dumps({k: old[k] for k in old.keys() - new}))
    table = scoreboard(run_dir)
    assert table.loc["scratch CNN"].isna().sum() == 5
    assert table.loc["bottleneck features"].notna().all()
    assert all(kind.kind in "if" for kind in table.dtypes)


def test_methods_of_the_same_name_have_a_line_each(run_dir):
    save(run_dir, "one", label="control")
    save(run_dir, "two", label="control", n_train=20)
    table = scoreboard(run_dir)
    assert list(table.index) == ["control", "control"]
    assert list(table["training images"]) == [24, 20]


@pytest.mark.parametrize(
    ("method", "weights", "label", "name"),
    [
        ("fine_tuned", "imagenet", None, "fine-tuned"),
        ("fine_tuned", "random", None, "fine-tuned (random base)"),
        ("scratch_cnn", "none", None, "scratch CNN"),
        ("my_own", "none", None, "my_own"),
        ("x", "random", "VGG16", "VGG16 (random base)"),
        ("x", "random", "VGG16, random weights", "VGG16, random weights"),
    ],
)
def test_random_weights_are_named_as_such(method, weights, label, name):
    result = {"method": method, "weights": weights}
    assert display_name(result | ({"label": label} if label else {})) == name


def test_a_missing_result_names_its_notebook(run_dir):
    with pytest.raises(FileNotFoundError, match="02_cnn_from_scratch"):
        last_method(load_results(run_dir))
    save(run_dir, "scratch_cnn")
    assert list(load_results(run_dir, "scratch_cnn")) == ["scratch_cnn"]
    with pytest.raises(FileNotFoundError, match="run notebook 04_vgg16_fine"):
        load_results(run_dir, "scratch_cnn", "fine_tuned")
    save(run_dir, "control_pixels")  # is not what the series came to
    assert last_method(load_results(run_dir)) == "scratch_cnn"
