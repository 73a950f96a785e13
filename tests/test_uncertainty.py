"""When a model does not answer: measured on validation images only."""

import json

import keras
import numpy as np
import pytest
from conftest import save_method
from keras import layers
from test_saving import strip

from catdog_helpers.data.runs import load_run
from catdog_helpers.models import build_cnn, build_head, join
from catdog_helpers.prediction.predictor import predict
from catdog_helpers.saving import load_model, load_uncertainty
from catdog_helpers.uncertainty import (
    calibrate,
    distance,
    fit_temperature,
    measure_uncertainty,
    with_features,
)


def draw_labels(seed, n=4000, temperature=1.0):
    """Return probabilities and labels that really follow them, then skew."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet(np.ones(3), n)
    labels = (rng.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1)
    return calibrate(true, 1 / temperature), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature):
    found = fit_temperature(*draw_labels(0, temperature=temperature))
    assert found == pytest.approx(temperature, rel=0.05)


def test_calibrating_keeps_order_and_sum():
    skewed, _ = draw_labels(1, temperature=3.0)
    calm = calibrate(skewed, 3.0)
    np.testing.assert_array_equal(calm.argmax(axis=1), skewed.argmax(axis=1))
    np.testing.assert_allclose(calm.sum(axis=1), 1)
    np.testing.assert_allclose(calibrate(calm, 1.0), calm, atol=1e-6)
    certain = calibrate(np.array([[1.0, 0.0]], "float32"), 2.0)
    assert np.isfinite(certain).all()


def test_a_few_images_without_mistake_promise_no_certainty():
    probabilities = np.tile([[0.8, 0.2]], (8, 1))
    temperature = fit_temperature(probabilities, np.zeros(8, dtype=int))
    # Platt: nine of ten, not ten of ten
    assert calibrate(probabilities, temperature)[0, 0] == pytest.approx(
        0.9, abs=1e-3
    )


def test_distance_is_the_residual_or_the_shortness():
    parts = {"components": np.eye(4, dtype="float16")[:2]}
    parts |= {"farthest": 2.5, "shortest": 1.0}
    x = [[3, 0, 0, 0], [0, 0, 0, 5], [4, 0, 3, 0], [0.5, 0, 0, 0], [0] * 4]
    expected = [1 / 3, 5 / 2.5, 9 / 5 / 2.5, 2, 10]
    np.testing.assert_allclose(distance(x, parts), expected, atol=1e-5)


def test_features_are_those_before_the_head(tmp_path):
    inputs = keras.Input((16, 16, 3))
    front = keras.Model(inputs, layers.Conv2D(8, 3)(inputs), name="front")
    back = keras.Sequential([keras.Input((14, 14, 8)), layers.Conv2D(6, 3)])
    head = build_head((6,), 2)
    model = join(front, back, head)
    x = np.random.default_rng(0).uniform(0, 255, (5, 16, 16, 3)).astype("f4")
    features, probabilities = with_features(model).predict_on_batch(x)
    maps = back.predict_on_batch(front.predict_on_batch(x))
    np.testing.assert_allclose(features, maps.mean(axis=(1, 2)), rtol=1e-4)
    expected = model.predict_on_batch(x)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    # Behind stored features, and loaded from a file, it is the same.
    again, _ = with_features(head).predict_on_batch(features)
    np.testing.assert_array_equal(again, features)
    model.save(tmp_path / "m.keras")
    loaded = with_features(keras.models.load_model(tmp_path / "m.keras"))
    np.testing.assert_allclose(loaded.predict_on_batch(x)[0], features, 1e-4)


def test_features_of_a_model_that_looks_twice():
    base = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(5, 3)])
    once = join(base, build_head((5,), 2))
    image = keras.Input((16, 16, 3))
    looks = [once(image), once(keras.ops.flip(image, axis=2))]
    twice = keras.Model(image, layers.Average()(looks))
    x = np.random.default_rng(0).random((4, 16, 16, 3), dtype="float32")
    features, probabilities = with_features(twice).predict_on_batch(x)
    expected = base.predict_on_batch(x).mean(axis=(1, 2))
    np.testing.assert_allclose(features, expected, rtol=1e-4)
    expected = twice.predict_on_batch(x)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)


@pytest.fixture
def path(run_dir):
    """A saved model that has measured when it is not sure."""
    save_method(run_dir, model=build_cnn(16, 2, widths=(8, 16)))
    return run_dir / "models" / "scratch_cnn.keras"


def test_a_result_learns_when_it_is_not_sure(path, run_dir):
    model, card = load_model(path)
    kept = load_uncertainty(path, card)
    assert path.with_suffix(".npz").stat().st_size < 1_000_000
    run = load_run(run_dir)
    rows = run.labels, run.train, run.validation
    expected = measure_uncertainty(model, run.images, *rows)
    assert set(kept) == set(expected)
    for name in kept:
        np.testing.assert_allclose(kept[name], expected[name], 1e-3, 1e-3)
    # Other test images, the same threshold: it never saw them.
    changed = np.array(run.images)
    changed[run.test] = 0
    again = measure_uncertainty(model, changed, *rows)
    for name in expected:
        np.testing.assert_array_equal(again[name], expected[name])
    # Of the validation images, none of 8 is refused: 1 % of 8 is none.
    answers = predict(path, [run_dir.parent / "photos"])
    verdicts = {row["verdict"] for row in answers}
    assert verdicts <= {"cat", "dog", "cat or dog", "not sure"}


@pytest.mark.parametrize("harm", ["missing", "other", "not in the card"])
def test_what_lies_beside_a_model_belongs_to_it(path, harm):
    """Of a model without a card and uncertainty inside."""
    strip(path)
    beside, card_path = path.with_suffix(".npz"), path.with_suffix(".json")
    if harm == "missing":
        beside.unlink()
        with pytest.raises(FileNotFoundError, match="needs this file beside"):
            next(predict(path, "a.png"))
    elif harm == "other":
        np.savez(beside, threshold=0, temperature=1, components=np.eye(2))
        with pytest.raises(ValueError, match="do not belong together"):
            next(predict(path, "a.png"))
    else:
        card = json.loads(card_path.read_text("utf-8"))
        del card["uncertainty_sha256"]
        card_path.write_text(json.dumps(card), "utf-8")
        assert load_uncertainty(path, load_model(path)[1]) is None
        assert next(predict(path, b"no image"))["verdict"] == "unreadable"
