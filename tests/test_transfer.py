"""The CNN from scratch; a base and a head: only the open part learns."""

import keras
import numpy as np
import pytest
from conftest import answer, pixels
from keras import layers

from catdog_helpers.models import (
    build_cnn,
    build_head,
    cut_base,
    join,
    unfreeze,
)


@pytest.fixture
def base():
    """Small base with batch normalisation behind the cut, frozen."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(4, 3, activation="relu", name="cut")(x)
    x = layers.Conv2D(6, 3, name="open")(x)
    x = layers.BatchNormalization(name="norm")(x)
    model = keras.Model(inputs, layers.ReLU()(x))
    model.trainable = False
    return model


@pytest.fixture
def x() -> np.ndarray:
    return pixels(12, 16)


def numpy(weights) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(weight).copy() for weight in weights]


def moved(weights, before) -> list[bool]:
    pairs = zip(numpy(weights), before, strict=True)
    return [not np.array_equal(now, then) for now, then in pairs]


@pytest.mark.parametrize(
    ("image_size", "pooled"), [(100, []), (150, [2]), (192, [2]), (224, [3])]
)
def test_images_above_100_px_are_averaged_down(image_size, pooled):
    model = build_cnn(image_size, 37, widths=(8, 16, 16))
    kind = keras.layers.AveragePooling2D
    sizes = [x.pool_size[0] for x in model.layers if isinstance(x, kind)]
    assert sizes == pooled
    for side in (64, image_size):  # it takes smaller images, too
        y = answer(model, pixels(3, side, "uint8"))
        assert y.shape == (3, 37)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)


def test_the_cnn_is_small_and_learns_to_tell_dark_from_bright():
    assert build_cnn(192, 2).count_params() < 2_500_000
    keras.utils.set_random_seed(0)
    labels = np.arange(64) % 2
    images = (
        pixels(64, 32, "uint8") // 2
        + np.uint8(100) * labels[:, None, None, None]
    )
    model = build_cnn(32, 2, widths=(8, 16, 16))
    model.compile(
        optimizer=keras.optimizers.AdamW(3e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    losses = model.fit(images, labels, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    assert model.evaluate(images, labels, verbose=0)[1] == 1


@pytest.mark.parametrize("n_classes", [2, 3, 37])
def test_head_gives_probabilities_of_any_number_of_classes(n_classes):
    head = build_head((20,), n_classes)
    assert head.name == "head"
    rng = np.random.default_rng(0)
    y = head.predict_on_batch(rng.normal(size=(5, 20)).astype("float32"))
    assert y.shape == (5, n_classes)
    assert (y >= 0).all()
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)


def test_joined_model_equals_its_parts(base, x):
    front, back = cut_base(base, "cut")
    head = build_head((6,), 3)
    expected = head.predict_on_batch(base.predict_on_batch(x).mean((1, 2)))
    for model, source in (
        (join(front, back, head), x),
        (join(base, head), x),
        (join(back, head), front.predict_on_batch(x)),
    ):
        y = model.predict_on_batch(source)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-6)


def fit(model, x, n_classes=2):
    model.compile("adam", "sparse_categorical_crossentropy")
    labels = np.arange(len(x)) % n_classes
    return model.fit(x, labels, epochs=2, batch_size=4, verbose=0)


@pytest.mark.parametrize("reloaded", [False, True])
def test_opened_weights_move_and_frozen_normalisation_does_not(
    base, x, reloaded, tmp_path
):
    whole = join(*cut_base(base, "cut"), build_head((6,), 2))
    if reloaded:
        whole.save(tmp_path / "whole.keras")
        whole = keras.models.load_model(tmp_path / "whole.keras")
    front, back, head = (whole.get_layer(n) for n in ("front", "back", "head"))
    assert not front.trainable_weights + back.trainable_weights
    back.trainable = True
    norm = back.get_layer("norm")
    norm.trainable = False
    before = numpy(front.weights), numpy(norm.weights)
    opened = back.get_layer("open").weights
    before_opened = numpy(opened)
    fit(join(back, head), front.predict_on_batch(x))
    assert not any(moved(front.weights, before[0]))
    assert not any(moved(norm.weights, before[1]))  # gamma, beta, statistics
    assert all(moved(opened, before_opened))
    # The whole model shares the layers: it has learned as well
    y = join(back, head).predict_on_batch(front.predict_on_batch(x))
    np.testing.assert_allclose(whole.predict_on_batch(x), y, rtol=1e-4)


def test_unfreeze_opens_all_but_batch_normalisation(base, x):
    front, back = cut_base(base, "cut")
    copy = keras.models.clone_model(back)  # its own flag is True already
    copy.set_weights(back.get_weights())
    tail = join(copy, build_head((6,), 2))
    unfreeze(copy)
    norm, opened = copy.get_layer("norm"), copy.get_layer("open").weights
    before = numpy(norm.weights), numpy(opened)
    fit(tail, front.predict_on_batch(x))
    assert not any(moved(norm.weights, before[0]))
    assert all(moved(opened, before[1]))
