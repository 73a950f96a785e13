"""Pretrained bases: raw RGB in, a feature map out, cut in two anywhere."""

import json
import zipfile

import keras
import numpy as np
import pytest
from conftest import answer, pixels, refused
from keras import layers
from packaging.version import Version

from catdog_helpers.bases import BASES, default_cut, load_base
from catdog_helpers.models import cut_base
from catdog_helpers.saving import weights_sha256
from catdog_helpers.study.choice import check_base

APPLICATIONS = [name for name in BASES if BASES[name].module]


def save_base(path, *parts, side: int | None = None):
    keras.Sequential([keras.Input((side, side, 3)), *parts]).save(path)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Path of a saved base of three layers, for images of any size."""
    path = tmp_path_factory.mktemp("saved") / "own.keras"
    inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(4, 3, strides=2, name="conv")(x)
    keras.Model(inputs, layers.ReLU(name="relu")(x)).save(path)
    return path


@pytest.fixture(scope="module")
def saved_sequential(tmp_path_factory):
    """The same as `saved`, as a Sequential."""
    conv = layers.Conv2D(4, 3, strides=2, name="conv")
    parts = layers.Rescaling(1 / 255), conv, layers.ReLU(name="relu")
    return save_base(tmp_path_factory.mktemp("saved") / "own.keras", *parts)


@pytest.fixture(scope="module")
def vgg16():
    return load_base("VGG16", None, image_size=32)


@pytest.mark.parametrize("name", ["VGG16", "MobileNetV2"])
def test_a_base_preprocesses_raw_rgb_itself(name):
    base = load_base(name, None, image_size=64)
    bare = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(64, 64, 3)
    )
    bare.set_weights(base.get_weights())
    module = getattr(keras.applications, BASES[name].module)
    x = pixels(2, 64)
    expected = answer(bare, module.preprocess_input(x.copy()))
    np.testing.assert_allclose(answer(base, x), expected, rtol=1e-4, atol=1e-5)
    assert base.input_shape == (None, 64, 64, 3)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_base_is_cut_at_its_default_and_joined_again(name):
    side = 96 if name in ("InceptionV3", "Xception") else 64
    base = load_base(name, None, image_size=side)
    assert not base.trainable_weights
    front, back = cut_base(base, default_cut(name))
    assert back.count_params() > 0.1 * base.count_params()  # a block at least
    x = pixels(1, side)
    np.testing.assert_allclose(
        answer(back, answer(front, x)), answer(base, x), rtol=1e-4, atol=1e-5
    )


def test_default_image_size_is_the_tables():
    base = load_base("MobileNetV2", None)
    assert base.input_shape[1:] == (192, 192, 3)


@pytest.mark.parametrize("name", ["vgg.keras", "vgg.weights.h5"])
def test_a_base_saved_and_loaded_is_the_same(name, tmp_path, vgg16):
    path = tmp_path / name
    if name.endswith(".keras"):
        vgg16.save(path)
        again = load_base(path)
    else:
        vgg16.save_weights(path)
        again = load_base("VGG16", path, image_size=32)
    x = pixels(2, 32)
    np.testing.assert_allclose(answer(again, x), answer(vgg16, x), rtol=1e-5)
    assert weights_sha256(again) == weights_sha256(vgg16)
    assert not again.trainable_weights


# Preprocessing by operations, by a layer, and within a saved base
@pytest.mark.parametrize(
    "base", ["VGG16", "EfficientNetV2B0", "sample", "saved", "saved_sequential"]
)
def test_a_base_enlarges_the_images_itself(base, request):
    base = request.getfixturevalue(base) if "saved" in base else base
    weights = None if base in APPLICATIONS else "imagenet"
    enlarging = load_base(base, weights, image_size=48, resolution=64)
    assert enlarging.input_shape == (None, 48, 48, 3)
    assert not enlarging.trainable_weights
    plain = load_base(base, weights, image_size=64)
    plain.set_weights(enlarging.get_weights())
    x = pixels(2, 48)
    expected = answer(plain, answer(layers.Resizing(64, 64), x))
    np.testing.assert_allclose(answer(enlarging, x), expected, atol=1e-6)
    front, back = cut_base(enlarging, default_cut(base))
    np.testing.assert_allclose(
        answer(back, answer(front, x)), expected, atol=1e-6
    )


def test_a_resolution_that_the_images_have_changes_nothing(vgg16):
    base = load_base("VGG16", None, image_size=32, resolution=32)
    kinds = [[type(x) for x in m.layers] for m in (base, vgg16)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize(
    "cut", ["conv", "relu", "conv.input", "relu.input", None]
)
@pytest.mark.parametrize("kind", ["saved", "saved_sequential"])
def test_a_saved_base_of_any_size_can_be_cut(cut, kind, request):
    path = request.getfixturevalue(kind)
    assert default_cut(path) is None
    base = load_base(path)
    front, back = cut_base(base, cut)
    assert cut or not back.weights  # without a cut all is front
    for side in (16, 24):
        x = pixels(2, side)
        np.testing.assert_array_equal(
            answer(back, answer(front, x)), answer(base, x)
        )


@pytest.mark.parametrize("cut", ["block9_conv1", "block4_pool.output", ""])
def test_an_unknown_layer_is_said_with_those_there_are(vgg16, cut):
    match = f"must name a layer.*Received: '{cut}'; its last"
    assert "block5_pool" in refused(ValueError, match, cut_base, vgg16, cut)


def test_a_cut_that_a_path_leads_around_is_refused():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 3, padding="same", name="inside")(inputs)
    base = keras.Model(inputs, layers.Add()([x, inputs]))
    refused(ValueError, "only connection .* 'inside'", cut_base, base, "inside")


def test_the_hash_of_weights_names_them_and_none_means_random_ones(saved):
    base = load_base(saved)
    name = weights_sha256(base)
    assert weights_sha256(load_base(saved)) == name
    random = {weights_sha256(load_base(saved, None)) for _ in range(2)}
    assert len(random | {name}) == 3
    kernel, bias = base.get_weights()
    base.set_weights([kernel, bias + 1e-6])
    assert weights_sha256(base) != name


def test_an_unknown_base_is_said_with_those_there_are():
    said = refused(ValueError, r"Received: 'vgg16'", load_base, "vgg16")
    assert all(name in said for name in BASES)


@pytest.mark.parametrize("weights", ["none.weights.h5", "imagnet", "."])
def test_missing_weights_never_become_random_ones(weights):
    refused(FileNotFoundError, "no weights file", load_base, "VGG16", weights)


def test_a_missing_base_file_is_said(tmp_path):
    path = tmp_path / "none.keras"
    refused(FileNotFoundError, "no saved base model at", load_base, path)


@pytest.mark.parametrize("kind", ["other model", "text", "cut short"])
def test_weights_that_do_not_fit_are_refused(kind, vgg16, tmp_path):
    path = tmp_path / "any.weights.h5"
    other = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    (other if kind == "other model" else vgg16).save_weights(path)
    if kind == "text":
        path.write_text("no weights")
    elif kind == "cut short":
        path.write_bytes(path.read_bytes()[:50_000])
    options = {"image_size": 32}
    refused(
        ValueError, "does not fit vgg16", load_base, "VGG16", path, **options
    )


@pytest.mark.parametrize("kind", ["text", "zip", "cut short"])
def test_a_file_that_is_no_model_is_refused(kind, saved, tmp_path):
    path = tmp_path / "broken.keras"
    data = {"text": b"no model", "zip": b"PK\5\6" + bytes(18)}
    path.write_bytes(data.get(kind, saved.read_bytes()[:-100]))
    refused(ValueError, "is no Keras model: ", load_base, path)


@pytest.mark.parametrize(
    "parts",
    [
        [keras.Input((8,)), layers.Dense(2)],
        [keras.Input((8, 8, 1)), layers.Conv2D(2, 3)],
        [keras.Input((8, 8, 3)), layers.GlobalAveragePooling2D()],
    ],
    ids=["no image", "one channel", "no map"],
)
def test_a_model_that_gives_no_feature_map_is_refused(parts, tmp_path):
    path = tmp_path / "other.keras"
    keras.Sequential(parts).save(path)
    refused(ValueError, "must turn RGB images into a feature", load_base, path)


def test_a_failed_download_says_what_to_do(monkeypatch, tmp_path):
    """Keras's own download, from a port where nobody listens."""
    url = "https://127.0.0.1:9/vgg16_notop.h5"

    def fetch(**arguments):
        assert arguments["weights"] == "imagenet"
        keras.utils.get_file("vgg16_notop.h5", url, cache_dir=tmp_path)

    monkeypatch.setattr(keras.applications, "VGG16", fetch)
    said = refused(ConnectionError, url, load_base, "VGG16", image_size=32)
    assert "Set WEIGHTS to the path of a weights file, or to None" in said


def test_other_failures_of_keras_are_not_hidden(monkeypatch):
    def fail(**_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        load_base("VGG16", None, image_size=32)


def test_the_size_of_a_saved_base_is_read_from_it(tmp_path, saved):
    fixed = save_base(tmp_path / "fixed.keras", layers.Conv2D(2, 3), side=24)
    assert check_base(fixed) == 24
    assert check_base(fixed, image_size=16, resolution=24) == 16
    assert check_base(saved) == 192
    assert check_base(saved, image_size=50) == 50
    assert check_base("sample", cut="block4_pool") == 96
    for sizes in ({"image_size": 32}, {"image_size": 24, "resolution": 32}):
        for load in (load_base, check_base):
            match = "24 x 24 pixels only.* 32"
            refused(ValueError, match, load, fixed, **sizes)


def test_what_would_fail_later_is_found_before(tmp_path, saved):
    match = "`cut` must name a layer"
    refused(ValueError, match, check_base, saved, cut="block9")
    path = tmp_path / "none.h5"
    refused(FileNotFoundError, "no weights file", check_base, "sample", path)


def test_a_base_that_needs_a_package_names_it(tmp_path, saved):
    """As the models of KerasHub, where that is not installed."""
    path = tmp_path / "hub.keras"
    with (
        zipfile.ZipFile(saved) as file,
        zipfile.ZipFile(path, "w") as changed,
    ):
        config = json.loads(file.read("config.json"))
        config["module"] = "keras_cv.src.models.vgg"
        config["class_name"] = "VGGBackbone"
        config["registered_name"] = "keras_cv>VGGBackbone"
        for name in set(file.namelist()) - {"config.json"}:
            changed.writestr(name, file.read(name))
        changed.writestr("config.json", json.dumps(config))
    refused(ValueError, "pip install keras-cv$", check_base, path)


@pytest.mark.parametrize(
    "name",
    [
        "inception_v3_mixed8_imagenet_raw_rgb.keras",
        "squeezenet_v1.1_imagenet_raw_rgb.keras",
    ],
)
def test_real_saved_bases_are_taken_as_they_are(shared, name):
    path = shared / "weights" / name
    with zipfile.ZipFile(path) as file:
        by = json.loads(file.read("metadata.json"))["keras_version"]
    if Version(keras.__version__) < Version(by):  # it cannot read all of them
        match = f"saved by Keras {by}, here is"
        refused(ValueError, match, load_base, path)
        return
    base = load_base(path)
    saved = keras.models.load_model(path, compile=False)
    x = pixels(2, 96)
    np.testing.assert_allclose(answer(base, x), answer(saved, x), rtol=1e-4)
