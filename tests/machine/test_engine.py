"""Frozen work runs on what a trial shows to be the fastest, and says so."""

import os
import random
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from catdog_helpers import extract_features, prepare
from catdog_helpers.bases import load_base
from catdog_helpers.machine import engine
from catdog_helpers.machine.files import read_json
from catdog_helpers.models import build_cnn


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Trials are kept for this test alone."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("CATDOG_PRECISION", raising=False)


@pytest.fixture
def model():
    inputs = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (8, 16, 16, 3)).astype("float32")


def fake(monkeypatch, seconds, moved=0.0, failing=None):
    """Let each choice take so many seconds, and change the outputs."""
    opened = []

    def open_engine(model, choice, x):
        opened.append(choice)
        if choice == failing:
            raise ValueError("this version of Keras cannot export it")
        change = 1.0 if choice == "float32" else 1.0 + moved
        run = lambda x: [np.full((len(x), 4), change, "float32")]  # noqa: E731
        run.choice = choice
        return run

    def least_seconds(runs):
        return [seconds[run.func.choice] for run in runs]

    monkeypatch.setattr(engine, "choices", lambda: list(seconds))
    monkeypatch.setattr(engine, "open_engine", open_engine)
    monkeypatch.setattr(engine.trials, "least_seconds", least_seconds)
    return opened


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"float32": 1.0, "bfloat16": 2.0, "openvino": 0.5}, "openvino"),
        ({"float32": 1.0, "bfloat16": 0.5, "openvino": 0.8}, "bfloat16"),
        ({"float32": 1.0, "bfloat16": 0.98, "openvino": 1.2}, "float32"),
    ],
)
def test_the_fastest_is_chosen_once(monkeypatch, x, seconds, expected):
    opened = fake(monkeypatch, seconds)
    assert engine.choose(None, x, 10_000, "net") == expected
    assert set(opened) == set(seconds)
    opened.clear()
    assert engine.choose(None, x, 10_000, "net") == expected
    assert opened == []  # the answer is kept
    assert engine.figures("net", x).startswith("float32 8/s, bfloat16 ")
    assert engine.choose(None, x, 10_000, "other net") == expected
    assert opened


def test_what_moves_the_features_or_fails_is_not_taken(monkeypatch, x):
    seconds = {"float32": 1.0, "bfloat16": 0.5}
    fake(monkeypatch, seconds, moved=0.03)
    assert engine.choose(None, x, 10_000, "net") == "float32"
    fake(monkeypatch, seconds, moved=0.01)
    assert engine.choose(None, x, 10_000, "another") == "bfloat16"
    fake(monkeypatch, seconds, failing="bfloat16")
    assert engine.choose(None, x, 10_000, "a third") == "float32"


def test_little_work_is_done_without_a_trial(monkeypatch, x):
    opened = fake(monkeypatch, {"float32": 0.01, "openvino": 0.001})
    assert engine.choose(None, x, 1_000, "net") == "float32"
    assert opened == ["float32"]
    assert engine.figures("net", x) == ""
    opened.clear()
    assert engine.choose(None, x, 20, "net") == "float32"
    assert opened == []


def test_what_the_user_says_is_taken(monkeypatch, x):
    monkeypatch.setenv("CATDOG_PRECISION", "bfloat16")
    assert engine.choices() == ["bfloat16"]
    assert engine.choose(None, x, 10_000, "net") == "bfloat16"


def test_trials_are_real(model, x, monkeypatch):
    monkeypatch.setattr(engine, "MIN_WORK", 0.0)
    name = engine.choose(model, x, 10_000, "net")
    assert name in engine.choices()
    if len(engine.choices()) > 1:
        assert "float32" in engine.figures("net", x)


def test_a_long_training_is_tried_apart(monkeypatch):
    def same_speed(runs):
        return [1.0 + 0 * bool(run()) for run in runs]

    monkeypatch.setattr(engine, "choices", lambda: ["float32", "bfloat16"])
    monkeypatch.setattr(engine.trials, "least_seconds", same_speed)
    home = Path(os.environ["KERAS_HOME"])
    model = build_cnn(32, 2, widths=(4, 4))
    weights, state = model.get_weights(), random.getstate()
    told = {"image_size": 32, "n_images": 100}
    assert engine.for_training(model, **told) is model  # without a trial
    assert not home.exists()
    engine.for_training(model, **told | {"n_images": 50_000})
    assert random.getstate() == state  # or dropout would have other seeds
    (trial,) = read_json(home / "catdog" / "trials.json").values()
    assert set(trial) == {"float32", "bfloat16"}
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


needs_openvino = pytest.mark.skipif(
    "openvino" not in engine.choices(),
    reason="OpenVINO is not installed, or Keras does not run on TensorFlow",
)


@needs_openvino
@pytest.mark.parametrize("n", [1, 8, 19])
def test_openvino_gives_the_same(model, x, n):
    images = np.resize(x, (n, 16, 16, 3))
    run = engine.open_engine(model, "openvino", x)
    (found,) = run(images)
    expected = model.predict_on_batch(images)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@needs_openvino
@pytest.mark.slow
@pytest.mark.parametrize(
    "base", ["MobileNetV2", "VGG16", "EfficientNetV2B0", "ConvNeXtTiny"]
)
def test_openvino_gives_the_same_for_each_base(base):
    model = load_base(base, None, image_size=64)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 64, 64, 3)).astype("float32")
    (found,) = engine.open_engine(model, "openvino", images)(images)
    expected = model.predict_on_batch(images)
    assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()


@needs_openvino
def test_the_key_of_features_names_the_engine(
    model, photographs, tmp_path, monkeypatch
):
    folder = photographs(tmp_path / "photos", {"a": 4, "b": 4}, side=16)
    images, _ = prepare(folder, tmp_path / "data" / "set", 16)
    rows = np.arange(8)
    usual = extract_features(model, images, rows, name="x")
    fast = extract_features(model, images, rows, name="x", precision="openvino")
    assert usual.filename != fast.filename
    np.testing.assert_allclose(usual, fast, rtol=2e-3)
    # What is stored is used, whatever a trial would say.
    monkeypatch.setitem(sys.modules, "openvino", None)
    again = extract_features(model, images, rows, name="x")
    assert again.filename == usual.filename
