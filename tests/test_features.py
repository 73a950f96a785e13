"""Frozen features: run once, kept, and never mistaken for others."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import refused
from keras import layers

from catdog_helpers import features as module
from catdog_helpers.data.manifest import provenance
from catdog_helpers.data.runs import load_run
from catdog_helpers.data.splits import split_rows
from catdog_helpers.features import extract_features


def make_model(scale=1 / 255, size=None, seed=0):
    inputs = keras.Input((size, size, 3))
    x = layers.Rescaling(scale)(inputs)
    initializer = keras.initializers.GlorotUniform(seed)
    outputs = layers.Conv2D(4, 3, kernel_initializer=initializer)(x)
    return keras.Model(inputs, outputs)


@pytest.fixture
def images(run_dir):
    return load_run(run_dir).images


@pytest.fixture
def rows(run_dir):
    return np.sort(np.concatenate(split_rows(load_run(run_dir).manifest)[1:]))


@pytest.fixture
def runs(monkeypatch):
    """List that gets the number of images of each call of a model."""
    calls, whole = [], keras.Model.predict_on_batch

    def predict_on_batch(self, x):
        calls.append(len(x))
        return whole(self, x)

    monkeypatch.setattr(keras.Model, "predict_on_batch", predict_on_batch)
    return calls


@pytest.fixture
def bars(monkeypatch):
    """List that gets the text of each progress bar."""
    texts, whole = [], module.tqdm

    def tqdm(items, text, **options):
        texts.append(text)
        return whole(items, text, **options)

    monkeypatch.setattr(module, "tqdm", tqdm)
    return texts


def extract(model, images, rows, precision="float32", **options):
    options = {"name": "x", "precision": precision} | options
    return extract_features(model, images, rows, **options)


@pytest.mark.parametrize("size", [None, 16])
@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_features_are_what_the_model_gives(images, rows, size, batch_size):
    model = make_model(size=size)
    kept = extract(model, images, rows, batch_size=batch_size)
    assert kept.shape == (len(images), 14, 14, 4)
    assert kept.dtype == np.float16
    expected = model.predict(images[rows].astype("float32"), verbose=0)
    np.testing.assert_allclose(kept[rows], expected, rtol=1e-3, atol=1e-4)
    unused = np.setdiff1d(np.arange(len(images)), rows)
    assert len(unused) > 0
    assert not kept[unused].any()


@pytest.mark.parametrize("mirrored", [False, True])
def test_float32_keeps_all_digits_and_mirrored_flips(images, rows, mirrored):
    model, x = make_model(), images[rows].astype("float32")
    expected = model.predict_on_batch(x[:, :, ::-1] if mirrored else x)
    options = {"mirrored": mirrored, "dtype": "float32"}
    kept = extract(model, images, rows, **options)
    np.testing.assert_allclose(kept[rows], expected, rtol=1e-5, atol=1e-6)


def test_features_of_features_are_kept_beside_them(images, rows):
    first = extract(make_model(), images, rows)
    pooling = layers.GlobalAveragePooling2D()
    back = keras.Sequential([keras.Input((14, 14, 4)), pooling])
    pooled = extract(back, first, rows, name="pooled")
    expected = np.asarray(first[rows], "float32").mean(axis=(1, 2))
    np.testing.assert_allclose(pooled[rows], expected, atol=1e-3)
    names = {path.name[:6] for path in _folder(images).glob("*.npy")}
    assert names == {"pooled", "x-" + provenance(first)["key"][:4]}


def _folder(images):
    return Path(images.filename).parent / "features"


def test_what_is_on_disk_is_not_run_again(images, rows, runs):
    first = extract(make_model(), images, rows, batch_size=10)
    assert runs == [10, 6]
    # Keras's own names differ: conv2d_7, where it was conv2d_6.
    again = extract(make_model(), images, rows, batch_size=5)
    assert runs == [10, 6]
    assert np.array_equal(first, again)
    assert provenance(again)["seconds"] > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": 1}, "(changed: weights)"),
        ({"rows": 1}, "(changed: rows)"),
        ({"mirrored": True}, "(changed: mirrored)"),
        ({"dtype": "float32"}, "(changed: dtype)"),
        ({"images": 1}, "(changed: images)"),
        ({"layers": 1}, "(changed: layers)"),
        ({"scale": 1 / 128}, "(changed: layers)"),
        ({"precision": "bfloat16"}, "(changed: precision)"),
    ],
    ids=lambda x: "" if isinstance(x, str) else next(iter(x)),
)
def test_what_changed_is_run_again_and_named(
    images, rows, runs, bars, change, said
):
    model = make_model()
    first = np.array(extract(model, images, rows))
    n_before, change = len(runs), dict(change)
    if change.pop("weights", 0):
        model = make_model(seed=1)
    if scale := change.pop("scale", 0):
        model = make_model(scale)
    if change.pop("layers", 0):
        relu = layers.ReLU()(model.outputs[0])
        model = keras.Model(model.inputs[0], relu)
    if change.pop("rows", 0):
        rows = rows[1:]
    if change.pop("images", 0):
        path = _folder(images).parent / "images.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"key": "0" * 64}))
    again = extract(model, images, rows, **change)
    assert len(runs) > n_before
    now = change.get("precision", "float32")
    assert bars == ["extract x, float32", f"extract x, {now} {said}"]
    if "changed: images" not in said:
        assert not np.array_equal(first, again)


@pytest.mark.parametrize("scale", [1e5, 1e-12])
def test_features_that_do_not_fit_are_refused_and_leave_nothing(
    images, rows, scale
):
    """Too large ones; and those that vanish, as of random weights they do."""
    model = make_model(scale)
    said = refused(
        ValueError, "do not fit float16", extract, model, images, rows
    )
    assert ("dtype='float32'" if scale > 1 else "notebook 08") in said
    left = {path.suffix for path in _folder(images).iterdir()}
    assert left <= {".lock"}
    kept = np.abs(extract(model, images, rows, dtype="float32")).max()
    assert kept > 65504 if scale > 1 else 0 < kept < 1e-4


def test_rescaled_images_are_refused(images):
    with pytest.raises(ValueError, match=r"own preprocessing.*Received: float"):
        extract(make_model(), images[:4] / 255, [0, 1])


def test_the_reason_is_not_that_of_a_longer_name(images, rows, capsys):
    extract(make_model(), images, rows, name="x-mirrored", mirrored=True)
    extract(make_model(), images, rows, name="x")
    assert "(changed" not in capsys.readouterr().err


def test_leftovers_of_a_killed_run_are_not_taken_for_features(
    images, rows, monkeypatch
):
    model = make_model()
    expected = np.array(extract(model, images, rows))
    finished = next(_folder(images).glob("*.npy"))
    record = finished.with_suffix(".json").read_text()
    finished.unlink()
    # Killed while running, and killed before the last renaming
    half = f".{finished.stem}.0123456789ab.partial.npy"
    for name, text in ((half, "half"), (f"{finished.stem}.json", record)):
        (_folder(images) / name).write_text(text)
        again = extract(model, images, rows)
        assert np.array_equal(again, expected)
        assert not list(_folder(images).glob("*.partial*"))
        finished.unlink()


def test_what_is_trained_next_begins_alike_computed_or_kept(images, rows):
    kernels = []
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3)])
    for _ in range(2):
        keras.utils.set_random_seed(0)
        extract(model, images, rows, precision="bfloat16")
        layer = layers.Dense(4)
        layer.build((None, 3))
        kernels.append(np.array(layer.kernel))
    np.testing.assert_array_equal(*kernels)
