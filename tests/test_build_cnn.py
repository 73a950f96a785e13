"""The network from scratch: shapes, learning, saving."""

import keras
import numpy as np
import pytest

from catdog_helpers.models import build_cnn

TINY = {"widths": (8, 16, 16)}


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


def noise(n, side, rng=0):
    rng = np.random.default_rng(rng)
    return rng.integers(0, 256, (n, side, side, 3), np.uint8)


@pytest.mark.parametrize(
    ("image_size", "pooled"), [(64, 1), (100, 1), (150, 2), (192, 2), (224, 3)]
)
def test_images_above_100_px_are_averaged_down(image_size, pooled):
    model = build_cnn(image_size, 37, **TINY)
    sizes = [
        layer.pool_size[0]
        for layer in model.layers
        if isinstance(layer, keras.layers.AveragePooling2D)
    ]
    assert sizes == ([] if pooled == 1 else [pooled])
    for side in (64, image_size):  # it takes smaller images, too
        y = keras.ops.convert_to_numpy(model(noise(3, side)))
        assert y.shape == (3, 37)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)


def test_learns_to_tell_dark_from_bright():
    labels = np.arange(64) % 2
    images = (noise(64, 32) // 2 + 100 * labels[:, None, None, None]).astype(
        np.uint8
    )
    model = build_cnn(32, 2, **TINY)
    model.compile(
        optimizer=keras.optimizers.AdamW(3e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    losses = model.fit(images, labels, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    assert model.evaluate(images, labels, verbose=0)[1] == 1


def test_stays_small():
    assert build_cnn(192, 2).count_params() < 2_500_000
