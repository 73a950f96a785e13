"""Heat maps mark what an answer rests on."""

import random
import zipfile

import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy.ndimage import gaussian_filter

from catdog_helpers.bases import load_base
from catdog_helpers.data.prepared import prepare
from catdog_helpers.data.splits import split, split_rows
from catdog_helpers.models import build_cnn, build_head, join
from catdog_helpers.study.heatmaps import heat_map, value_and_gradient
from catdog_helpers.study.inside import cut_model, pooled_features


@pytest.fixture
def colours():
    """Model of three classes: red, green, blue; and its nested twin."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.AveragePooling2D(2)(x)
    base = keras.Model(inputs, layers.Conv2D(3, 1, activation="relu")(x))
    base.layers[-1].set_weights([np.eye(3)[None, None], np.zeros(3)])
    dense = layers.Dense(3, activation="softmax")
    head = keras.Sequential([keras.Input((3,)), dense], name="head")
    dense.set_weights([20 * np.eye(3), np.zeros(3)])
    flat = layers.GlobalAveragePooling2D()(base.output)
    flat = keras.Model(inputs, dense(layers.Dropout(0.5)(flat)))
    return {"flat": flat, "nested": join(base, head)}


def squares() -> np.ndarray:
    """One black image with a red square at the top left, a blue one below."""
    image = np.zeros((1, 16, 16, 3), dtype="uint8")
    image[0, 2:6, 2:6, 0] = 255
    image[0, 10:14, 10:14, 2] = 200
    return image


@pytest.mark.parametrize("kind", ["flat", "nested"])
def test_the_hot_place_is_where_the_class_is(colours, kind):
    model = colours[kind]
    red, blue = (heat_map(model, squares(), i)[0] for i in (0, 2))
    assert red.shape == (8, 8)
    assert red.dtype == np.float32
    for heat, here, there in ((red, 1, 5), (blue, 5, 1)):
        assert heat.max() == 1
        assert heat[here : here + 2, here : here + 2].min() > 0.9
        # What speaks for the one speaks against the other: it is left out
        assert heat[there : there + 2, there : there + 2].max() == 0


def test_by_default_it_is_the_map_of_the_answer(colours):
    model = colours["nested"]
    answer = heat_map(model, squares())
    np.testing.assert_array_equal(answer, heat_map(model, squares(), 0))
    assert heat_map(model, squares(), 1).max() == 0  # no green
    # Where p is 1.0 in float32 the gradient of p would be 0.
    dense = model.get_layer("head").layers[-1]
    dense.set_weights([5000 * np.eye(3), np.zeros(3)])
    assert model.predict_on_batch(squares()).max() == 1
    hottest = heat_map(model, squares())[0].argmax()
    assert divmod(hottest, 8) in ((1, 1), (1, 2), (2, 1))


def test_images_of_several_batches_have_the_map_of_each(colours):
    mirrored = np.where(np.arange(35)[:, None, None, None] % 2, 1, 0)
    x = np.where(mirrored, squares()[:, ::-1], squares())  # 32 at a time
    maps = heat_map(colours["nested"], x, 0)
    assert maps.shape == (35, 8, 8)
    for i in (0, 1, 31, 32, 34):
        alone = heat_map(colours["nested"], x[i : i + 1], 0)[0]
        # A larger batch is convolved in another order.
        np.testing.assert_allclose(maps[i], alone, rtol=1e-4)


def test_one_linear_layer_gives_the_class_activation_map():
    """For a pooling and one layer the map has a closed form (Zhou 2016)."""
    keras.utils.set_random_seed(0)
    model = build_cnn(64, 2)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (3, 64, 64, 3), dtype="uint8")
    pooling = model.layers[-3]
    maps = keras.Model(model.inputs, pooling.input).predict(x, verbose=0)
    kernel = model.layers[-1].get_weights()[0]
    expected = maps @ (kernel[:, 1] - kernel[:, 0])
    blur = (0, 4 / 6, 4 / 6)  # of maps of 4 x 4
    expected = gaussian_filter(expected, blur, mode="nearest").clip(min=0)
    expected /= expected.max((1, 2), keepdims=True).clip(min=1e-12)
    found = heat_map(model, x, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_the_gradient_of_a_formula():
    """Only the first array is differentiated; the others may change."""
    x, y = numbers(3, 4), np.arange(4)
    both = value_and_gradient(lambda x, y: ops.sum(x**3 * y))
    for scale in (1, 2):  # the second call is already compiled
        value, gradient = both(scale * x, scale * y)
        expected = (scale * x) ** 3 * scale * y
        assert value == pytest.approx(expected.sum(), rel=1e-4)
        np.testing.assert_allclose(gradient, 3 * expected / (scale * x), 1e-4)


SIDE, SQUARE, RANDOM = 192, 64, 5  # pixels, pixels, squares an image


def blanked(images, centres) -> np.ndarray:
    """Put a square of the image's mean colour around one place of each."""
    out = images.copy()
    corners = (np.asarray(centres) - SQUARE // 2).round().astype(int)
    for image, (y, x) in zip(out, corners.clip(0, SIDE - SQUARE), strict=True):
        mean = image.mean((0, 1)).astype("uint8")
        image[y : y + SQUARE, x : x + SQUARE] = mean
    return out


def odds_of_dog(model, images) -> np.ndarray:
    """Log-odds of class 1, from the logits: exact where p is 1.0."""
    to_map, to_logits = cut_model(model)
    batches = np.array_split(images.astype("float32"), len(images) // 50)
    maps = [to_map.predict_on_batch(batch) for batch in batches]
    logits = to_logits(np.concatenate(maps))
    return keras.ops.convert_to_numpy(logits[:, 1] - logits[:, 0])


@pytest.fixture
def photographs_and_model(shared, tmp_path):
    """Test photographs, their labels, a head trained on 1,000 others."""
    archive = zipfile.ZipFile(shared / "data" / "petimages_200px.zip")
    rng = random.Random(0)
    for kind in ("Cat", "Dog"):
        names = [n for n in archive.namelist() if f"/{kind}/" in n]
        names = [n for n in sorted(names) if n.endswith(".jpg")]
        archive.extractall(tmp_path / "photos", rng.sample(names, 680))
    images, manifest = prepare(tmp_path / "photos", tmp_path / "data", SIDE)
    manifest = split(manifest, train=1000, validation=20, test=240)
    train, _, test = split_rows(manifest)
    labels = manifest.label.to_numpy()
    weights = "mobilenet_v2_1.0_224_no_top.weights.h5"
    weights = shared / "weights" / weights
    base = load_base("MobileNetV2", weights, image_size=SIDE)
    keras.utils.set_random_seed(0)
    model = join(base, build_head((1280,), 2))
    features = pooled_features(model, images, train)
    head = model.get_layer("head")
    head.compile("adam", "sparse_categorical_crossentropy")
    x, y = features[train].astype("float32"), labels[train]
    head.fit(x, y, batch_size=64, epochs=8, verbose=0)
    return images[test], labels[test], model


@pytest.mark.slow
def test_the_hottest_place_matters_most_on_real_photographs(
    photographs_and_model,
):
    """Blanking it costs more than blanking elsewhere; chance is one half."""
    images, labels, model = photographs_and_model
    odds = odds_of_dog(model, images)
    right = np.flatnonzero((odds > 0) == labels)[:200]
    assert len(right) == 200
    images, sign = images[right], np.where(labels[right], 1, -1)
    maps = heat_map(model, images)
    places = maps.reshape(200, -1).argmax(axis=1)
    places = np.column_stack(np.unravel_index(places, maps.shape[1:]))
    rng = np.random.default_rng(0)
    centres = [(places + 0.5) * SIDE / maps.shape[1]]
    inside = SQUARE / 2, SIDE - SQUARE / 2
    centres += list(rng.uniform(*inside, (RANDOM, 200, 2)))
    spoilt = [odds_of_dog(model, blanked(images, where)) for where in centres]
    hot, *elsewhere = sign * (odds[right] - spoilt)
    share = (hot > np.mean(elsewhere, axis=0)).mean()
    print(f"{share:.3f} of 200; mean fall {hot.mean():.2f}", end=" ")
    print(f"against {np.mean(elsewhere):.2f} of random squares")
    assert share >= 0.75
