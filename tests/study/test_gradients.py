"""Gradients by the framework that Keras runs on here."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from catdog_helpers.study.heatmaps import value_and_gradient


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_the_gradient_of_a_formula():
    x = numbers(3, 4)
    both = value_and_gradient(lambda x: ops.sum(x**3))
    for scale in (1, 2):  # the second call is already compiled
        at = scale * x
        value, gradient = both(at)
        assert value == pytest.approx((at**3).sum(), rel=1e-4)
        np.testing.assert_allclose(gradient, 3 * at**2, rtol=1e-5)
    assert isinstance(gradient, np.ndarray)
    assert isinstance(value, float)


def test_only_the_first_array_is_differentiated():
    x, y = numbers(5), np.arange(5)
    both = value_and_gradient(lambda x, y: ops.sum(x * y))
    for factor in (1, 2):  # the others may change from call to call
        _, gradient = both(x, factor * y)
        np.testing.assert_allclose(gradient, factor * y, rtol=1e-6)


def test_through_a_model_it_is_what_small_steps_give():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(4, 3, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),  # does nothing: training=False
            layers.GlobalAveragePooling2D(),
            layers.Dense(1),
        ]
    )
    before = [w.copy() for w in model.get_weights()]
    x = numbers(2, 6, 6, 3)
    both = value_and_gradient(lambda x: ops.sum(model(x, training=False)))
    _, gradient = both(x)
    assert gradient.shape == x.shape
    for place in ((0, 2, 3, 1), (1, 5, 0, 2)):
        step = np.zeros_like(x)
        step[place] = 0.05
        change = both(x + step)[0] - both(x - step)[0]
        assert gradient[place] == pytest.approx(change / 0.1, rel=2e-2)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
