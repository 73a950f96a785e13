"""Exported models: they answer as the original does, or are not kept."""

import json
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import run_command
from keras import layers

from catdog_helpers.bases import BASES, load_base
from catdog_helpers.deploy import exporting, formats
from catdog_helpers.deploy.exporting import export
from catdog_helpers.deploy.parity import check_parity, compare, run_exported
from catdog_helpers.models import build_head, join
from catdog_helpers.saving import save_model
from catdog_helpers.uncertainty import (
    calibrate,
    distance,
    measure_uncertainty,
    with_features,
)

SIDE = 16
CARD = {"class_names": ["cat", "dog"], "image_size": SIDE}
FILES = {
    "onnx": "model.onnx",
    "litert": "model.tflite",
    "saved_model": "saved_model",
}


run = partial(run_command, "export")
formats_written = pytest.mark.parametrize("format", FILES)


def make_model(image_size=SIDE, first=()):
    """Two classes, told apart by one colour; no tie anywhere near."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            *first,
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(2, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (70, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def alone(model, tmp_path_factory) -> Path:
    """The model as a file that lies in no run."""
    path = tmp_path_factory.mktemp("alone") / "any.keras"
    save_model(model, path, CARD)
    return path


@pytest.fixture(scope="module")
def uncertainty(model, images):
    rows = np.arange(70)
    found = measure_uncertainty(model, images, rows % 2, rows[:40], rows[40:])
    return found | {"temperature": np.asarray(0.02)}


def save(model, folder: Path, uncertainty=None) -> Path:
    save_model(model, folder / "any.keras", CARD, uncertainty)
    return folder / "any.keras"


@pytest.fixture
def model_path(run_dir):
    """A model within a run, whose test images it is compared on."""
    path = run_dir / "models" / "any.keras"
    save_model(make_model(), path, CARD | {"method": "any"})
    return path


@formats_written
@pytest.mark.parametrize("first", [[], [layers.Resizing(21, 21)]])
def test_the_file_answers_as_the_model_does(first, format, images, tmp_path):
    model = make_model(first=first)
    path = save(model, tmp_path / "from")
    tmp_path /= "to"
    result = export(path, format, tmp_path, images=images)
    found = run_exported(tmp_path / FILES[format], images)
    expected = model.predict(images.astype("float32"), verbose=0)
    assert set(found) == {"probabilities"}
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    assert result["parity"]["images"] == 70
    assert result["parity"]["largest_difference"] < 1e-5
    assert result["parity"]["class_agreement"] == 1
    assert result["class_names"] == CARD["class_names"]
    beside = tmp_path / f"{FILES[format]}.json"
    assert json.loads(beside.read_text("utf-8")) == result
    names = {FILES[format], beside.name}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_exporting_again_replaces_and_sweeps(alone, images, tmp_path):
    (tmp_path / ".partial-x1y2" / "saved_model").mkdir(parents=True)  # a kill's
    (tmp_path / "index.html").write_text("mine")
    for _ in range(2):
        export(alone, "saved_model", tmp_path, images=images)
    names = {"index.html", "saved_model", "saved_model.json"}
    assert {path.name for path in tmp_path.iterdir()} == names


@formats_written
def test_a_file_without_its_temperature_is_not_kept(
    format, model, images, uncertainty, tmp_path, monkeypatch
):
    def without(model, found, **options):
        found = found | {"temperature": 1.0}
        return formats.with_answers(model, found, **options)

    monkeypatch.setattr(exporting, "with_answers", without)
    path = save(model, tmp_path, uncertainty)
    with pytest.raises(ValueError, match="differently and was not kept"):
        export(path, format, tmp_path / "to", images=images)
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize("int8", [True, False])
def test_tolerances(int8):
    parity = {"class_agreement": 1, "verdict_agreement": 1, "images": 9}
    parity |= {"largest_difference": 0}
    check_parity(parity, int8=int8)
    for key in ("class_agreement", "verdict_agreement"):
        with pytest.raises(ValueError, match="same answers to"):
            check_parity(parity | {key: 0.949 if int8 else 0.9989}, int8=int8)
    far = parity | {"largest_difference": 2e-3}
    expected = pytest.raises(ValueError, match="up to 0.002 apart")
    with nullcontext() if int8 else expected:
        check_parity(far, int8=int8)


def test_comparison_by_hand():
    a = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    b = np.array([[0.7, 0.3], [0.4, 0.6], [0.2, 0.8], [0.5, 0.5]])
    a, b = {"probabilities": a}, {"probabilities": b}
    parity = compare(a, b, CARD)
    assert parity["images"] == 4
    assert parity["class_agreement"] == 0.75
    assert parity["verdict_agreement"] == 0.75  # "cat", then "cat or dog"
    assert parity["largest_difference"] == pytest.approx(0.2)
    nothing = {"probabilities": b["probabilities"] * np.nan}
    assert compare(b, nothing, CARD)["largest_difference"] == 1
    far = np.array([0, 0, 0, 0.5])
    x, y = a | {"distance": far}, a | {"distance": far + 0.25}
    parity = compare(x, y, CARD | {"strange_above": 0.6})
    assert parity["largest_difference"] == 0.25
    assert parity["verdict_agreement"] == 0.75  # the last is "not sure"
    # What the file does not have is not asked of it.
    parity = compare(x, a, CARD | {"strange_above": 0.3})
    assert parity["verdict_agreement"] == 1


def test_int8_is_smaller_and_says_so(images, tmp_path):
    keras.utils.set_random_seed(0)
    body = [layers.Conv2D(64, 3, activation="relu") for _ in range(2)]
    body += [layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")]
    inputs = [keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 255)]
    model = keras.Sequential([*inputs, *body])
    path = save(model, tmp_path)
    whole = export(path, "litert", tmp_path, images=images)
    small = export(path, "litert", tmp_path, images=images, int8=True)
    assert small["file"] == "model_int8.tflite"
    assert small["bytes"] < 0.4 * whole["bytes"]
    assert (tmp_path / "model_int8.tflite.json").is_file()


@formats_written
def test_temperature_and_distance_are_in_the_file(
    format, model, images, uncertainty, tmp_path
):
    path = save(model, tmp_path, uncertainty)
    result = export(path, format, tmp_path, images=images)
    found = run_exported(tmp_path / FILES[format], images)
    features, raw = with_features(model).predict(
        images.astype("float32"), verbose=0
    )
    expected = calibrate(raw, 0.02)
    assert np.abs(expected - raw).max() > 0.1
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-4)
    far = distance(features, uncertainty)
    np.testing.assert_allclose(found["distance"], far, atol=1e-5)
    threshold = pytest.approx(uncertainty["threshold"], abs=2e-5)
    assert result["strange_above"] == threshold
    assert result["not_sure_below"] == 0.8
    assert "temperature" not in result  # it would be applied twice


def test_litert_takes_exactly_one_image(alone, images, tmp_path):
    """LiteRT.js refuses a file whose batch has no fixed size."""
    import tensorflow as tf

    export(alone, "litert", tmp_path, images=images)
    file = tf.lite.Interpreter(str(tmp_path / "model.tflite"))
    (image,) = file.get_input_details()
    assert list(image["shape_signature"]) == [1, SIDE, SIDE, 3]
    (signature,) = file.get_signature_list().values()
    assert signature == {"inputs": ["image"], "outputs": ["probabilities"]}


def test_onnx_refuses_the_exact_gelu_at_once_and_names_litert(
    images, tmp_path, monkeypatch
):
    import tf2onnx

    def never(*_, **__):
        raise AssertionError("the conversion was started")

    monkeypatch.setattr(tf2onnx.convert, "from_graph_def", never)
    path = save(make_model(first=[layers.Activation("gelu")]), tmp_path)
    with pytest.raises(ValueError, match="Erfc; export this base as litert"):
        export(path, "onnx", tmp_path / "to", images=images)
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.slow
@formats_written
@pytest.mark.parametrize("name", BASES)
def test_every_base_exports_or_refuses(name, format, tmp_path):
    """With random weights; InceptionV3 takes no smaller images than 75 px."""
    keras.utils.set_random_seed(0)
    weights = "imagenet" if name == "sample" else None  # as saved
    base = load_base(name, weights, image_size=96)
    model = join(base, build_head(base.output_shape[-1:], 2))
    x = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), np.uint8)
    path = tmp_path / "any.keras"
    save_model(model, path, CARD | {"image_size": 96})
    if (name, format) == ("ConvNeXtTiny", "onnx"):
        with pytest.raises(ValueError, match="export this base as litert"):
            export(path, format, tmp_path, images=x)
    else:
        assert export(path, format, tmp_path, images=x)["bytes"] > 1e5


@pytest.mark.parametrize("package", ["tf2onnx", "onnxruntime"])
def test_a_missing_package_is_named(
    package, alone, images, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    words = f"{package}.*; pip install tf2onnx onnxruntime$"
    with pytest.raises(ImportError, match=words) as caught:
        export(alone, "onnx", tmp_path, images=images)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_backend_that_cannot_is_said(alone, images, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise NotImplementedError("only with TensorFlow\nand more")

    monkeypatch.setattr(keras.Model, "export", refuse)
    with pytest.raises(ValueError, match="tensorflow backend: only.*Flow$"):
        export(alone, "litert", tmp_path, images=images)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "h5"}, "`format` must be onnx, .* Received: 'h5'"),
        ({"format": "onnx", "int8": True}, "must be litert .*Received: 'onnx'"),
        ({"format": "litert"}, "no images for the check .*give `images`"),
    ],
)
def test_wrong_arguments_are_named(options, words, alone, tmp_path):
    with pytest.raises(ValueError, match=words):
        export(alone, folder=tmp_path, **options)


def test_the_command_exports_and_says_what_was_checked(model_path, tmp_path):
    """On the test images of the model's run, with what its card says."""
    given = ["--model", model_path, "--to", tmp_path / "to"]
    status, out, error = run(*given, "--format", "litert", "--int8")
    assert (status, error) == (0, "")
    assert "same class on 100.00% of 8 images" in out[-1]
    beside = tmp_path / "to" / "model_int8.tflite.json"
    assert json.loads(beside.read_text("utf-8"))["method"] == "any"


def test_the_command_fails_in_one_line(tmp_path):
    path = tmp_path / "alone.keras"
    save_model(make_model(), path, CARD)
    for model, words in (("none.keras", "there is no"), (path, "`images`")):
        given = ["--model", model, "--format", "onnx", "--to", tmp_path / "to"]
        status, lines, error = run(*given)
        assert (status, lines) == (2, [])
        assert error.startswith("export: ")
        assert words in error
        assert error.count("\n") == 1
