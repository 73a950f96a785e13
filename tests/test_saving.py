"""A model and its card: whole, together, and told apart from other files."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from catdog_helpers.machine.files import write_json
from catdog_helpers.saving import (
    load_model,
    save_model,
    versions,
    weights_sha256,
)

CARD = {"class_names": ["猫", "dog"], "image_size": 16}


def make_model(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "models" / "any.keras"
    save_model(make_model(), path, CARD)
    return path


def test_a_loaded_model_gives_the_same_probabilities(saved):
    x = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3))
    model, card = load_model(saved)
    expected = make_model().predict_on_batch(x)
    np.testing.assert_array_equal(model.predict_on_batch(x), expected)
    assert card["class_names"] == CARD["class_names"]
    assert card["image_size"] == 16
    assert card["weights_sha256"] == weights_sha256(model)
    assert card["versions"]["keras"] == keras.__version__


def test_nothing_but_model_and_card_is_left(saved):
    names = {path.name for path in saved.parent.iterdir()}
    assert names == {"any.keras", "any.json"}
    text = saved.with_suffix(".json").read_text(encoding="utf-8")
    assert "猫" in text
    assert json.loads(text)["class_names"][0] == "猫"


def test_saving_again_replaces_model_and_card(saved):
    save_model(make_model(seed=1), saved, CARD | {"method": "new"})
    model, card = load_model(saved)
    assert card["method"] == "new"
    assert weights_sha256(model) == weights_sha256(make_model(seed=1))


def one_line(error_type, match, path):
    with pytest.raises(error_type, match=match) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_a_missing_model_or_card_is_said(saved):
    one_line(FileNotFoundError, "there is no .*none.keras", "none.keras")
    saved.with_suffix(".json").unlink()
    one_line(FileNotFoundError, "there is no .*any.json", saved)


@pytest.mark.parametrize("name", ["any.h5", "any.json", "any"])
def test_another_suffix_is_refused(saved, name):
    one_line(ValueError, r"is a \.keras file. Received", saved.with_name(name))


@pytest.mark.parametrize("data", [b"", b"no model", b"PK\5\6" + bytes(18)])
def test_a_file_that_is_no_model_is_refused(saved, data):
    saved.write_bytes(data)
    one_line(ValueError, "is no Keras model: ", saved)


@pytest.mark.parametrize("text", ["", "{", "no card"])
def test_a_damaged_card_is_refused(saved, text):
    saved.with_suffix(".json").write_text(text)
    one_line(ValueError, "any.json", saved)


def test_the_card_of_another_model_is_refused(saved):
    other = saved.with_name("other.keras")
    save_model(make_model(seed=1), other, CARD)
    other.with_suffix(".json").replace(saved.with_suffix(".json"))
    one_line(ValueError, "any.json do not belong together", saved)


def test_versions_are_those_installed():
    assert versions()["numpy"] == np.__version__
    assert {"keras", "pillow"} <= set(versions())


def test_a_json_file_stays_as_it_was_when_writing_fails(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_names", None),
        ("class_names", "cat,dog"),
        ("class_names", ["cat"]),
        ("class_names", ["cat", "cat"]),
        ("class_names", ["cat", 2]),
        ("class_names", ["cat", ""]),
        ("class_names", ["cat", "dog", "owl"]),
        ("image_size", "16"),
        ("image_size", 17),
        ("image_size", True),
        ("image_size", 10**9),
        ("preprocessing", None),
        ("preprocessing", "divided by 255"),
        ("weights_sha256", 5),
    ],
)
def test_a_foreign_card_is_refused(saved, key, value):
    file = saved.with_suffix(".json")
    card = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(card | {key: value}), "utf-8")
    one_line(ValueError, f"any.json is not .*`{key}` must be .*Received", saved)


@pytest.mark.parametrize("text", ["[]", "5", '"card"', "null", "{}"])
def test_json_that_is_no_card_is_refused(saved, text):
    saved.with_suffix(".json").write_text(text)
    one_line(ValueError, "any.json is not this model's card", saved)


def test_a_card_that_does_not_fit_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="`class_names` must be one for each"):
        save_model(
            make_model(),
            tmp_path / "a.keras",
            CARD | {"class_names": ["a", "b", "c"]},
        )
    assert list(tmp_path.iterdir()) == []


def test_code_in_a_model_is_not_run(tmp_path):
    """A Lambda layer holds Python code: safe mode refuses it."""
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Flatten(),
            layers.Lambda(lambda x: x * 2),
            layers.Dense(2, activation="softmax"),
        ]
    )
    save_model(model, tmp_path / "a.keras", CARD)
    one_line(ValueError, "a.keras is no Keras model: ", tmp_path / "a.keras")


def test_another_version_of_keras_is_named_as_a_cause(saved):
    with zipfile.ZipFile(saved) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    about = json.loads(parts["metadata.json"]) | {"keras_version": "9.9.9"}
    parts["metadata.json"] = json.dumps(about)
    write_zip(saved, parts)
    load_model(saved)  # no cause of anything as long as it loads
    write_zip(saved, parts | {"config.json": "{}"})
    one_line(ValueError, r"saved by Keras 9\.9\.9, here is", saved)


def write_zip(path, parts: dict):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)
