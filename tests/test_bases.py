"""Pretrained bases: raw RGB in, a feature map out, cut in two anywhere."""

import json
import re
import zipfile

import keras
import numpy as np
import pytest
from keras import layers
from packaging.version import Version

from catdog_helpers import bases
from catdog_helpers.bases import BASES, check_base, default_cut, load_base
from catdog_helpers.models import cut_base
from catdog_helpers.saving import weights_sha256

APPLICATIONS = [name for name in BASES if BASES[name].module]


def pixels(side: int, n: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, side, side, 3)).astype("float32")


def run(model, x) -> np.ndarray:
    """Run a model without the seconds that compiling it would take."""
    return keras.ops.convert_to_numpy(model(x, training=False))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Path of a saved base of three layers, for images of any size."""
    path = tmp_path_factory.mktemp("saved") / "own.keras"
    inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(4, 3, strides=2, name="conv")(x)
    outputs = layers.ReLU(name="relu")(x)
    keras.Model(inputs, outputs).save(path)
    return path


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
    x = pixels(64)
    expected = run(bare, module.preprocess_input(x.copy()))
    np.testing.assert_allclose(run(base, x), expected, rtol=1e-4, atol=1e-5)
    assert base.input_shape == (None, 64, 64, 3)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_base_is_cut_at_its_default_and_joined_again(name):
    side = 96 if name in ("InceptionV3", "Xception") else 64
    base = load_base(name, None, image_size=side)
    assert not base.trainable_weights
    front, back = cut_base(base, default_cut(name))
    assert back.count_params() > 0.1 * base.count_params()  # a block at least
    x = pixels(side, 1)
    np.testing.assert_allclose(
        run(back, run(front, x)), run(base, x), rtol=1e-4, atol=1e-5
    )


def test_a_base_saved_and_loaded_is_the_same(tmp_path, vgg16):
    vgg16.save(tmp_path / "vgg.keras")
    again = load_base(tmp_path / "vgg.keras")
    x = pixels(32)
    np.testing.assert_allclose(run(again, x), run(vgg16, x), rtol=1e-5)
    assert weights_sha256(again) == weights_sha256(vgg16)
    assert not again.trainable_weights


def test_default_image_size_is_the_tables():
    base = load_base("MobileNetV2", None)
    assert base.input_shape[1:] == (192, 192, 3)


def test_weights_file_is_loaded(tmp_path, vgg16):
    path = tmp_path / "vgg.weights.h5"
    vgg16.save_weights(path)
    again = load_base("VGG16", path, image_size=48)
    assert weights_sha256(again) == weights_sha256(vgg16)


@pytest.fixture(scope="module")
def saved_sequential(tmp_path_factory):
    """The same as `saved`, as a Sequential."""
    path = tmp_path_factory.mktemp("saved") / "sequential.keras"
    parts = [
        keras.Input((None, None, 3)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, strides=2, name="conv"),
        layers.ReLU(name="relu"),
    ]
    keras.Sequential(parts).save(path)
    return path


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
    x = pixels(48)
    expected = run(plain, run(layers.Resizing(64, 64), x))
    np.testing.assert_allclose(run(enlarging, x), expected, atol=1e-6)
    front, back = cut_base(enlarging, default_cut(base))
    np.testing.assert_allclose(run(back, run(front, x)), expected, atol=1e-6)


def test_a_resolution_that_the_images_have_changes_nothing(vgg16):
    base = load_base("VGG16", None, image_size=32, resolution=32)
    kinds = [[type(x) for x in m.layers] for m in (base, vgg16)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("cut", ["conv", "relu", "conv.input", "relu.input"])
@pytest.mark.parametrize("kind", ["saved", "saved_sequential"])
def test_a_saved_base_of_any_size_can_be_cut(cut, kind, request):
    base = load_base(request.getfixturevalue(kind))
    front, back = cut_base(base, cut)
    for side in (16, 24):
        x = pixels(side)
        np.testing.assert_array_equal(run(back, run(front, x)), run(base, x))


def test_without_a_cut_all_is_front(saved):
    base = load_base(saved)
    assert default_cut(saved) is None
    front, back = cut_base(base, default_cut(saved))
    x = pixels(16)
    np.testing.assert_array_equal(run(front, x), run(base, x))
    np.testing.assert_array_equal(run(back, run(front, x)), run(base, x))
    assert not back.weights


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("block9_conv1", "must name a layer .* 'block9_conv1'; its last"),
        ("block4_pool.output", "must name a layer"),
        ("", "must name a layer"),
    ],
)
def test_an_unknown_layer_is_said_with_those_there_are(vgg16, cut, message):
    with pytest.raises(ValueError, match=message) as caught:
        cut_base(vgg16, cut)
    assert "block5_pool" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_that_a_path_leads_around_is_refused():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 3, padding="same", name="inside")(inputs)
    base = keras.Model(inputs, layers.Add()([x, inputs]))
    with pytest.raises(
        ValueError, match="only connection .* 'inside'"
    ) as caught:
        cut_base(base, "inside")
    assert "\n" not in str(caught.value)


def test_none_means_random_weights_for_a_saved_base_too(saved):
    assert weights_sha256(load_base(saved)) == weights_sha256(load_base(saved))
    random = {weights_sha256(load_base(saved, None)) for _ in range(2)}
    assert len(random | {weights_sha256(load_base(saved))}) == 3


def test_hash_of_weights_names_their_content(saved):
    base = load_base(saved)
    name = weights_sha256(base)
    assert re.fullmatch("[0-9a-f]{64}", name)
    kernel, bias = base.get_weights()
    base.set_weights([kernel, bias + 1e-6])
    assert weights_sha256(base) != name


def test_an_unknown_base_is_said_with_those_there_are():
    with pytest.raises(ValueError, match=r"Received: 'vgg16'") as caught:
        load_base("vgg16")
    for name in BASES:
        assert name in str(caught.value)


@pytest.mark.parametrize("weights", ["none.weights.h5", "imagnet", "."])
def test_missing_weights_never_become_random_ones(weights):
    with pytest.raises(FileNotFoundError, match="no weights file at"):
        load_base("VGG16", weights, image_size=32)


def test_a_missing_base_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no saved base model at"):
        load_base(tmp_path / "none.keras")


@pytest.mark.parametrize("kind", ["other model", "text", "cut short"])
def test_weights_that_do_not_fit_are_refused(kind, vgg16, tmp_path):
    path = tmp_path / "any.weights.h5"
    if kind == "other model":
        keras.Sequential([keras.Input((3,)), layers.Dense(2)]).save_weights(
            path
        )
    elif kind == "text":
        path.write_text("no weights")
    else:
        vgg16.save_weights(path)
        path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(ValueError, match="does not fit vgg16") as caught:
        load_base("VGG16", path, image_size=32)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["text", "zip", "cut short"])
def test_a_file_that_is_no_model_is_refused(kind, saved, tmp_path):
    path = tmp_path / "broken.keras"
    data = {
        "text": b"no model",
        "zip": b"PK\5\6" + bytes(18),
        "cut short": saved.read_bytes()[:-100],
    }
    path.write_bytes(data[kind])
    with pytest.raises(ValueError, match="is no Keras model: ") as caught:
        load_base(path)
    assert "\n" not in str(caught.value)


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
    keras.Sequential(parts).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="must turn RGB images into a feature"):
        load_base(tmp_path / "other.keras")


def test_a_failed_download_says_what_to_do(monkeypatch, tmp_path):
    """Keras's own download, from a port where nobody listens."""
    url = "https://127.0.0.1:9/vgg16_notop.h5"

    def fetch(**arguments):
        assert arguments["weights"] == "imagenet"
        keras.utils.get_file("vgg16_notop.h5", url, cache_dir=tmp_path)

    monkeypatch.setattr(keras.applications, "VGG16", fetch)
    with pytest.raises(ConnectionError) as caught:
        load_base("VGG16", image_size=32)
    message = str(caught.value)
    assert "\n" not in message
    assert url in message
    assert "Set WEIGHTS to the path of a weights file, or to None" in message


def test_other_failures_of_keras_are_not_hidden(monkeypatch):
    def fail(**_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        bases.load_base("VGG16", None, image_size=32)


def fixed(tmp_path, side=24):
    """Path of a saved base for images of one size."""
    keras.Sequential(
        [keras.Input((side, side, 3)), layers.Conv2D(2, 3, name="conv")]
    ).save(tmp_path / "fixed.keras")
    return tmp_path / "fixed.keras"


def test_the_size_of_a_saved_base_is_read_from_it(tmp_path, saved):
    assert check_base(fixed(tmp_path)) == 24
    assert check_base(fixed(tmp_path), image_size=24) == 24
    assert check_base(fixed(tmp_path), image_size=16, resolution=24) == 16
    assert check_base(saved) == 192
    assert check_base(saved, image_size=50) == 50
    assert check_base("sample", cut="block4_pool") == 96


@pytest.mark.parametrize(
    "sizes", [{"image_size": 32}, {"image_size": 24, "resolution": 32}]
)
def test_another_size_than_that_of_a_saved_base_is_said(tmp_path, sizes):
    for load in (load_base, check_base):
        with pytest.raises(ValueError, match="24 x 24 pixels only.* 32"):
            load(fixed(tmp_path), **sizes)


def test_what_would_fail_later_is_found_before(tmp_path, saved):
    with pytest.raises(ValueError, match="`cut` must name a layer"):
        check_base(saved, cut="block9")
    with pytest.raises(FileNotFoundError, match="no weights file"):
        check_base("sample", tmp_path / "none.h5")


def test_a_base_that_needs_a_package_names_it(tmp_path, saved):
    """As the models of KerasHub, where that is not installed."""
    path = tmp_path / "hub.keras"
    with (
        zipfile.ZipFile(saved) as file,
        zipfile.ZipFile(path, "w") as changed,
    ):
        for name in file.namelist():
            data = file.read(name)
            if name == "config.json":
                config = json.loads(data)
                module = "keras_nlp.src.models.vgg"
                config |= {"module": module, "class_name": "VGGBackbone"}
                config["registered_name"] = "keras_nlp>VGGBackbone"
                data = json.dumps(config)
            changed.writestr(name, data)
    with pytest.raises(ValueError, match="pip install keras-nlp$") as caught:
        check_base(path)
    assert "\n" not in str(caught.value)


def test_real_weights_fit_their_base(shared):
    path = shared / "weights" / "mobilenet_v2_1.0_224_no_top.weights.h5"
    base = load_base("MobileNetV2", path, image_size=96)
    again = load_base("MobileNetV2", path, image_size=96)
    assert weights_sha256(base) == weights_sha256(again)
    assert np.abs(run(base, pixels(96))).max() > 0.1


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
        with pytest.raises(ValueError, match=f"saved by Keras {by}, here is"):
            load_base(path)
        return
    base = load_base(path)
    saved = keras.models.load_model(path, compile=False)
    x = pixels(96)
    np.testing.assert_allclose(run(base, x), run(saved, x), rtol=1e-4)
    front, back = cut_base(base, None)
    np.testing.assert_array_equal(run(back, run(front, x)), run(base, x))
