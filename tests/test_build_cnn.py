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


@pytest.mark.parametrize("image_size", [64, 100, 150, 192, 224])
@pytest.mark.parametrize("n_classes", [2, 37])
def test_gives_probabilities_at_any_size(image_size, n_classes):
    model = build_cnn(image_size, n_classes, **TINY)
    probabilities = model.predict(noise(3, image_size), verbose=0)
    assert probabilities.shape == (3, n_classes)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("image_size", "pooled"), [(64, 1), (100, 1), (150, 2), (192, 2), (224, 3)]
)
def test_only_images_above_100_px_are_averaged_down(image_size, pooled):
    sizes = [
        layer.pool_size[0]
        for layer in build_cnn(image_size, 2, **TINY).layers
        if isinstance(layer, keras.layers.AveragePooling2D)
    ]
    assert sizes == ([] if pooled == 1 else [pooled])


def test_takes_smaller_images_than_it_is_meant_for():
    model = build_cnn(192, 2, **TINY)
    for side in (64, 96, 128, 192):
        assert model(noise(2, side)).shape == (2, 2)


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


def test_saved_and_reloaded_gives_the_same_probabilities(tmp_path):
    model = build_cnn(150, 3, **TINY)
    images = noise(4, 150)
    expected = model.predict(images, verbose=0)
    model.save(tmp_path / "cnn.keras")
    loaded = keras.models.load_model(tmp_path / "cnn.keras")
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)


def test_stays_small():
    assert build_cnn(192, 2).count_params() < 2_500_000
