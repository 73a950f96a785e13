"""Guards: each mistake is planted, and must be noticed."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
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


def compile_(model):
    model.compile("adam", "sparse_categorical_crossentropy")


def fit(model, **options):
    model.fit(X, Y, verbose=0, **options)


def open_properly(base):
    base.trainable = True
    base.get_layer("norm").trainable = False


def test_proper_training_passes():
    base, _, model = build()
    compile_(model)
    with guard_weights(model):
        fit(model)
    open_properly(base)
    compile_(model)
    with guard_weights(model):
        fit(model)


def test_parts_that_are_trained_alone_pass():
    base, head, _ = build()
    compile_(head)
    with guard_weights(base, head):
        head.fit(base.predict_on_batch(X), Y, verbose=0)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="there Keras stops by itself: the optimizer knows no such weights",
)
def test_layers_opened_without_compiling_are_noticed():
    base, _, model = build()
    compile_(model)
    fit(model)
    open_properly(base)
    with (
        pytest.raises(RuntimeError, match="open weights have not") as caught,
        guard_weights(model),
    ):
        fit(model)
    for name in ("compile again", "a/kernel", "a/bias", "b/kernel", "1 more"):
        assert name in str(caught.value)
    assert "c/" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="there it freezes them at once, or Keras stops by itself",
)
def test_layers_frozen_without_compiling_are_noticed():
    base, _, model = build()
    open_properly(base)
    compile_(model)
    fit(model)
    base.trainable = False
    with (
        pytest.raises(RuntimeError, match="frozen weights have changed.*a/ker"),
        guard_weights(model),
    ):
        fit(model)


def test_nothing_trainable_is_noticed_before_training():
    base, *_ = build()
    with pytest.raises(ValueError, match="no weight is trainable"):
        guard_weights(base).__enter__()


def test_no_epoch_at_all_is_noticed():
    _, _, model = build()
    compile_(model)
    with (
        pytest.raises(RuntimeError, match="one epoch or more.*c/kernel"),
        guard_weights(model),
    ):
        fit(model, initial_epoch=3, epochs=3)


def test_batch_normalisation_of_an_open_base_is_noticed():
    """`training=False` in the call does not hold it under `fit`."""
    base, head, _ = build()
    inputs = keras.Input((6,))
    model = keras.Model(inputs, head(base(inputs, training=False)))
    base.trainable = True
    compile_(model)
    with (
        pytest.raises(RuntimeError, match="BatchNormalization.*moving_mean"),
        guard_weights(model),
    ):
        fit(model)


def test_from_scratch_the_averages_may_be_learned():
    base, _, model = build()
    base.trainable = True
    compile_(model)
    with guard_weights(model, moving_averages=True):
        fit(model)


def test_an_error_in_training_is_not_hidden():
    _, _, model = build()
    with pytest.raises(KeyboardInterrupt), guard_weights(model):
        raise KeyboardInterrupt


@pytest.fixture
def manifest(run_dir) -> pd.DataFrame:
    return load_run(run_dir).manifest


NAMES = ["cat", "dog"]


def test_a_sound_split_passes(manifest):
    check_split(manifest, NAMES)


def test_copies_on_two_sides_are_refused(manifest):
    a = manifest.index[manifest.split == "train"][0]
    b = manifest.index[manifest.split == "test"][0]
    manifest.loc[b, "group"] = manifest.group[a]
    with pytest.raises(ValueError, match="two sides of the split") as caught:
        check_split(manifest, NAMES)
    assert manifest.path[a] in str(caught.value)
    manifest.loc[b, "split"] = ""  # a copy that is not used does no harm
    check_split(manifest, NAMES)


def test_a_file_used_twice_is_refused(manifest):
    twice = pd.concat([manifest, manifest[manifest.split == "train"][:1]])
    with pytest.raises(ValueError, match="used twice"):
        check_split(twice, NAMES)


def test_another_order_of_classes_is_refused(manifest):
    with pytest.raises(ValueError, match=r"Received: \['dog', 'cat'\]"):
        check_split(manifest, NAMES[::-1])
    with pytest.raises(ValueError, match="labels of another order"):
        check_split(manifest.assign(label=1 - manifest.label), NAMES)


def test_a_leaking_split_is_not_written(run_dir, manifest):
    run = load_run(run_dir)
    stored = run.images
    before = (run_dir / "manifest.csv").read_bytes()
    manifest["group"] = 0
    with pytest.raises(ValueError, match="two sides"):
        save_split(run_dir, stored, manifest, dataset="x", folder="y", seed=0)
    assert (run_dir / "manifest.csv").read_bytes() == before


def test_a_leaking_split_is_not_read(run_dir, manifest):
    manifest["group"] = 0
    manifest.to_csv(run_dir / "manifest.csv", index=False)
    with pytest.raises(ValueError, match="two sides"):
        load_run(run_dir)


def test_classes_of_another_order_are_not_read(run_dir):
    path = run_dir / "dataset.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps(info | {"class_names": NAMES[::-1]}))
    with pytest.raises(ValueError, match="everywhere"):
        load_run(run_dir)
