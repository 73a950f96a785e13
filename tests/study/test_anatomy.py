"""A model taken apart gives what it gave whole."""

from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import answer, pixels
from keras import layers

from catdog_helpers.bases import BASES, default_cut, load_base
from catdog_helpers.data.runs import load_run
from catdog_helpers.features import extract_features
from catdog_helpers.models import build_cnn, build_head, cut_base, join
from catdog_helpers.study import inside as anatomy
from catdog_helpers.study.inside import (
    cut_model,
    nearest_images,
    pooled_features,
    restore_statistics,
    without_preprocessing,
)


def joined(base: str, side: int):
    base_model = load_base(base, None, image_size=side)
    front, back = cut_base(base_model, default_cut(base))
    return join(front, back, build_head(back.output_shape[-1:], 3))


def assert_parts_give_the_whole(model, side):
    x = pixels(2, side)
    to_map, to_logits = cut_model(model)
    maps = answer(to_map, x)
    assert maps.ndim == 4
    found = keras.ops.softmax(to_logits(maps))
    found = keras.ops.convert_to_numpy(found)
    np.testing.assert_allclose(found, answer(model, x), 1e-4)


@pytest.mark.parametrize(
    ("base", "side"),
    [
        ("scratch", 32),  # without a pooling first
        ("scratch", 128),  # with one
        ("sample", 64),
        ("MobileNetV2", 64),
        ("ConvNeXtTiny", 64),
    ],
)
def test_a_model_built_saved_and_loaded(base, side, tmp_path):
    keras.utils.set_random_seed(0)
    model = build_cnn(side, 3) if base == "scratch" else joined(base, side)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_parts_give_the_whole(loaded, side)


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_every_base_of_the_table(base):
    side = 96 if base in ("InceptionV3", "Xception") else 64
    assert_parts_give_the_whole(joined(base, side), side)


@pytest.mark.parametrize(
    "end",
    [
        [layers.Flatten(), layers.Dense(2, activation="softmax")],
        [layers.GlobalAveragePooling2D(), layers.Dense(2)],
        [layers.GlobalAveragePooling2D()],
    ],
    ids=["flatten", "linear", "no head"],
)
def test_another_kind_of_model_is_refused(end):
    parts = [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), *end]
    with pytest.raises(ValueError, match="as in notebooks 02 to 04. Received"):
        cut_model(keras.Sequential(parts))


@pytest.fixture
def small_base():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(4, 3, activation="relu", name="cut")(x)
    model = keras.Model(inputs, layers.Conv2D(6, 3, activation="relu")(x))
    model.trainable = False
    return model


def test_features_are_what_the_head_gets(small_base, run_dir, monkeypatch):
    monkeypatch.setenv("CATDOG_PRECISION", "float32")
    images = load_run(run_dir).images
    rows = np.arange(10)
    for model in (
        join(*cut_base(small_base, "cut"), build_head((6,), 2)),
        join(small_base, build_head((6,), 2)),
        build_cnn(16, 2, widths=(4, 5, 6, 7)),
    ):
        features = pooled_features(model, images, rows)
        to_map, _ = cut_model(model)
        expected = answer(to_map, images[rows].astype("float32"))
        expected = expected.mean((1, 2))
        np.testing.assert_allclose(
            features[rows], expected, rtol=1e-2, atol=1e-3
        )


def test_what_notebook_3_kept_is_used_again(small_base, run_dir, monkeypatch):
    images = load_run(run_dir).images
    rows = np.arange(len(images))
    front, back = cut_base(small_base, "cut")
    maps = extract_features(front, images, rows, name="front")
    pooling = keras.layers.GlobalAveragePooling2D()
    to_features = keras.Sequential([back, pooling])
    kept = extract_features(to_features, maps, rows, name="features")
    model = join(front, back, build_head((6,), 2))
    folder = Path(images.filename).parent / "features"
    n_files = len(list(folder.glob("*.npy")))
    assert pooled_features(model, images, rows).filename == kept.filename
    assert len(list(folder.glob("*.npy"))) == n_files

    back.trainable = True  # after fine-tuning only the front's are kept
    back.set_weights([2 * w for w in back.get_weights()])
    ran = []

    def note(model, images, rows, *, name, **options):
        ran.append(name)
        return extract_features(model, images, rows, name=name, **options)

    monkeypatch.setattr(anatomy, "extract_features", note)
    assert pooled_features(model, images, rows).filename != kept.filename
    assert ran == ["front", "features"]
    assert len(list(folder.glob("*.npy"))) == n_files + 1


def test_the_nearest_image_points_the_same_way():
    angles = np.radians([0, 10, 25, 180, 100, 3])
    lengths = np.array([1, 9, 1, 1, 2, 5])  # do not matter
    features = np.stack([np.cos(angles), np.sin(angles)], 1) * lengths[:, None]
    features = features.astype("float16")
    found = nearest_images(features, [0, 3], np.array([1, 2, 4, 5]), n=2)
    np.testing.assert_array_equal(found, [[5, 1], [4, 2]])
    assert nearest_images(features, [0], np.array([1, 2]), n=4).shape == (1, 2)
    itself = nearest_images(features, [2], np.arange(6), n=1)
    np.testing.assert_array_equal(itself, [[2]])


def normed(blocks: int, variance: float):
    """Build a small model whose batch normalisation has these statistics."""
    image = x = keras.Input((8, 8, 3))
    for _ in range(blocks):
        x = layers.Conv2D(4, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
    # Keras 3.13 refuses a model whose output is its input.
    model = keras.Model(image, layers.Identity()(x))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            gamma, beta = rng.uniform(0.5, 2, (2, 4))
            layer.set_weights([gamma, beta, np.zeros(4), variance + 0 * beta])
    return model


@pytest.mark.parametrize(("blocks", "variance"), [(1, 1.0), (3, 0.999)])
def test_restored_statistics_are_those_of_the_inputs(blocks, variance):
    model, x = normed(blocks, variance), pixels(6, 8)
    before = answer(model, x)
    assert restore_statistics(model, x)
    np.testing.assert_allclose(answer(model, x), before, rtol=1e-3, atol=1e-2)
    layer = model.layers[2]
    seen = answer(keras.Model(model.inputs[0], layer.input), x)
    _, _, mean, variance = layer.get_weights()
    np.testing.assert_allclose(mean, seen.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(variance, seen.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize(("blocks", "variance"), [(2, 0.5), (0, 1.0)])
def test_statistics_of_ones_own_are_left_alone(blocks, variance):
    model = normed(blocks, variance)
    before = model.get_weights()
    assert not restore_statistics(model, pixels(2, 8))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_base_without_its_preprocessing_takes_pixels_as_they_are():
    image = keras.Input((8, 8, 3))
    scaled = layers.Rescaling(1 / 127.5, offset=-1)(image)
    base = keras.Model(image, layers.Conv2D(4, 3)(scaled))
    bare, x = without_preprocessing(base), pixels(2, 8)
    np.testing.assert_allclose(
        answer(bare, x / 127.5 - 1), answer(base, x), atol=1e-4
    )
    assert np.abs(answer(bare, x) - answer(base, x)).max() > 1
