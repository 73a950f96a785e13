"""Guards: each mistake is planted, and must be noticed."""

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import refused
from keras import layers

from catdog_helpers.data.runs import check_split, load_run, save_split
from catdog_helpers.guards import guard_weights

X = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
Y = np.arange(64) % 2


def build():
    """A base with batch normalisation and a head; the base is frozen."""
    keras.utils.set_random_seed(0)
    base = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, name="a"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(4, name="b"),
        ],
        name="base",
    )
    base.trainable = False
    head = keras.Sequential(
        [keras.Input((4,)), layers.Dense(2, activation="softmax", name="c")],
        name="head",
    )
    return base, head, keras.Sequential([keras.Input((6,)), base, head])


def compiled(model):
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def fit(model, **options):
    model.fit(X, Y, verbose=0, **options)


def fit_guarded(match, model, **options) -> str:
    """Train a model whose guard must notice something; return what it says."""

    def train():
        with guard_weights(model):
            fit(model, **options)

    return refused(RuntimeError, match, train)


def open_properly(base):
    base.trainable = True
    base.get_layer("norm").trainable = False


def test_proper_training_passes():
    base, head, model = build()
    with guard_weights(model):
        fit(compiled(model))
    with guard_weights(base, head):  # parts that are trained alone
        compiled(head).fit(base.predict_on_batch(X), Y, verbose=0)
    open_properly(base)
    with guard_weights(model):
        fit(compiled(model))


on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="there Keras stops by itself, or freezes the weights at once",
)


@on_tensorflow
def test_layers_opened_without_compiling_are_noticed():
    base, _, model = build()
    fit(compiled(model))
    open_properly(base)
    said = fit_guarded("open weights have not", model)
    for name in ("compile again", "a/kernel", "a/bias", "b/kernel", "1 more"):
        assert name in said
    assert "c/" not in said


@on_tensorflow
def test_layers_frozen_without_compiling_are_noticed():
    base, _, model = build()
    open_properly(base)
    fit(compiled(model))
    base.trainable = False
    fit_guarded("frozen weights have changed.*a/ker", model)


def test_nothing_trainable_is_noticed_before_training():
    base, *_ = build()
    with pytest.raises(ValueError, match="no weight is trainable"):
        guard_weights(base).__enter__()


def test_no_epoch_at_all_is_noticed():
    model, none = compiled(build()[2]), {"initial_epoch": 3, "epochs": 3}
    fit_guarded("one epoch or more.*c/kernel", model, **none)


def test_batch_normalisation_of_an_open_base_is_noticed():
    """`training=False` in the call does not hold it under `fit`."""
    base, head, _ = build()
    inputs = keras.Input((6,))
    model = keras.Model(inputs, head(base(inputs, training=False)))
    base.trainable = True
    fit_guarded("BatchNormalization.*moving_mean", compiled(model))
    with guard_weights(model, moving_averages=True):  # from scratch they may
        fit(model)


def test_an_error_in_training_is_not_hidden():
    _, _, model = build()
    with pytest.raises(KeyboardInterrupt), guard_weights(model):
        raise KeyboardInterrupt


@pytest.fixture
def manifest(run_dir) -> pd.DataFrame:
    return load_run(run_dir).manifest


NAMES = ["cat", "dog"]


def test_copies_on_two_sides_are_refused(manifest):
    check_split(manifest, NAMES)
    a = manifest.index[manifest.split == "train"][0]
    b = manifest.index[manifest.split == "test"][0]
    manifest.loc[b, "group"] = manifest.group[a]
    said = refused(
        ValueError, "two sides of the split", check_split, manifest, NAMES
    )
    assert manifest.path[a] in said
    manifest.loc[b, "split"] = ""  # a copy that is not used does no harm
    check_split(manifest, NAMES)


def test_files_used_twice_and_another_order_of_classes_are_refused(manifest):
    twice = pd.concat([manifest, manifest[manifest.split == "train"][:1]])
    other = manifest.assign(label=1 - manifest.label)
    for table, names, match in (
        (twice, NAMES, "used twice"),
        (manifest, NAMES[::-1], r"Received: \['dog', 'cat'\]"),
        (other, NAMES, "labels of another order"),
    ):
        refused(ValueError, match, check_split, table, names)


def test_a_leaking_split_is_neither_written_nor_read(run_dir, manifest):
    images, path = load_run(run_dir).images, run_dir / "manifest.csv"
    before = path.read_bytes()
    manifest["group"] = 0
    names = {"dataset": "x", "folder": "y", "seed": 0}
    split = run_dir, images, manifest
    refused(ValueError, "two sides", save_split, *split, **names)
    assert path.read_bytes() == before
    manifest.to_csv(path, index=False)
    refused(ValueError, "two sides", load_run, run_dir)
