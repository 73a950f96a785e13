"""A model and its card: whole, together, and told apart from other files."""

import hashlib
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import make_model, refused
from keras import layers

from catdog_helpers.machine.files import write_json
from catdog_helpers.saving import (
    MEMBERS,
    load_model,
    load_uncertainty,
    save_model,
    weights_sha256,
)
from catdog_helpers.uncertainty import MEASURED as PARTS

ROOT = Path(__file__).resolve().parents[1]
CARD = {"class_names": ["猫", "dog"], "image_size": 16}
MEASURED = dict.fromkeys(PARTS, 2.0) | {"components": np.eye(2)}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "models" / "any.keras"
    save_model(make_model(), path, CARD)
    return path


@pytest.fixture
def bare(saved):
    """A model without a card inside, as another program writes it."""
    strip(saved)
    return saved


def strip(path):
    """Take the card and the uncertainty out of a `.keras` file."""
    parts = read_zip(path)
    write_zip(path, {k: parts[k] for k in parts.keys() - MEMBERS.values()})


def read_zip(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write_zip(path, parts: dict):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)


def test_a_loaded_model_gives_the_same_probabilities(saved):
    x = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3))
    model, card = load_model(saved)
    expected = make_model().predict_on_batch(x)
    np.testing.assert_array_equal(model.predict_on_batch(x), expected)
    assert card["class_names"] == CARD["class_names"]
    assert card["image_size"] == 16
    assert card["weights_sha256"] == weights_sha256(model)
    assert card["versions"]["keras"] == keras.__version__
    names = {path.name for path in saved.parent.iterdir()}
    assert names == {"any.keras", "any.json"}
    assert "猫" in saved.with_suffix(".json").read_text(encoding="utf-8")


def test_the_optimizer_is_not_saved_and_goes_on_training(tmp_path):
    model, path = make_model(), tmp_path / "any.keras"
    save_model(model, path, CARD)
    size = path.stat().st_size
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = np.ones((4, 16, 16, 3), "float32"), np.zeros(4)
    model.fit(x, y, verbose=0)
    save_model(model, path, CARD)
    assert path.stat().st_size == pytest.approx(size, rel=0.1)
    model.fit(x, y, verbose=0)
    assert int(model.optimizer.iterations) == 2
    assert not load_model(path)[0].compiled


def test_saving_again_replaces_model_card_and_uncertainty(saved):
    save_model(make_model(), saved, CARD, MEASURED)
    assert saved.with_suffix(".npz").is_file()
    save_model(make_model(seed=1), saved, CARD | {"method": "new"})
    model, card = load_model(saved)
    assert card["method"] == "new"
    assert weights_sha256(model) == weights_sha256(make_model(seed=1))
    assert not saved.with_suffix(".npz").exists()
    assert load_uncertainty(saved, card) is None


def test_a_missing_model_or_card_is_said(bare):
    missing = FileNotFoundError
    refused(missing, "there is no .*none.keras", load_model, "none.keras")
    load_model(bare)
    bare.with_suffix(".json").unlink()
    refused(missing, "there is no .*any.json", load_model, bare)


@pytest.mark.parametrize("harm", ["missing", "damaged", "of another model"])
def test_a_model_file_is_complete_by_itself(saved, harm):
    """As after a kill between the writing of one file and the next."""
    save_model(make_model(), saved, CARD, MEASURED)
    other = saved.with_name("other.keras")
    save_model(make_model(1), other, CARD, MEASURED | {"temperature": 9.0})
    for suffix in (".json", ".npz"):
        beside = saved.with_suffix(suffix)
        if harm == "missing":
            beside.unlink()
        elif harm == "damaged":
            beside.write_bytes(b"{")
        else:
            other.with_suffix(suffix).replace(beside)
    model, card = load_model(saved)
    assert card["weights_sha256"] == weights_sha256(model)
    found = load_uncertainty(saved, card)
    assert found["temperature"] == 2.0
    np.testing.assert_array_equal(found["components"], np.eye(2))


@pytest.mark.parametrize("arrays", [{"temperature": 1}, {"x": object()}, None])
def test_uncertainty_that_is_incomplete_is_refused(bare, arrays):
    beside = bare.with_suffix(".npz")
    if arrays is None:
        beside.write_bytes(b"no arrays")
    else:
        np.savez(beside, **arrays)
    digest = hashlib.sha256(beside.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="npz is damaged .*train again"):
        load_uncertainty(bare, {"uncertainty_sha256": digest})


SAVE_AGAIN = """
import itertools, sys
sys.path[:0] = [".", "tests"]
from test_saving import CARD, MEASURED, make_model, np, save_model
models = [make_model(seed) for seed in (1, 2)]
for i in itertools.count():
    found = dict.fromkeys(MEASURED, i) | {"components": np.eye(300)}
    save_model(models[i % 2], sys.argv[1], CARD | {"round": i}, found)
    print(i, flush=True)
"""


def save_in_a_loop(path):
    """Start a process that saves one model after another over `path`."""
    command = [sys.executable, "-c", SAVE_AGAIN, str(path)]
    loop = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert loop.stdout.readline() == b"0\n"
    return loop


def check(path) -> None:
    """Load a model, and check that what belongs to it is its own."""
    _, card = load_model(path)
    assert load_uncertainty(path, card)["temperature"] == card["round"]


@pytest.mark.slow
def test_a_killed_save_leaves_a_model_that_can_be_loaded(saved):
    rng = np.random.default_rng(0)
    for _ in range(5):
        loop = save_in_a_loop(saved)
        time.sleep(rng.uniform(0, 0.2))
        loop.kill()
        loop.wait()
        check(saved)
    names = {path.name for path in saved.parent.glob("[!.]*")}
    assert names == {"any.keras", "any.json", "any.npz"}


@pytest.mark.slow
def test_two_processes_save_one_model_while_a_third_loads_it(saved):
    loops = [save_in_a_loop(saved) for _ in range(2)]
    try:
        for _ in range(30):
            model, card = load_model(saved)
            assert card["weights_sha256"] == weights_sha256(model)
    finally:
        for loop in loops:
            assert loop.poll() is None  # neither of them has failed
            loop.kill()
            loop.wait()
    check(saved)


@pytest.mark.parametrize("name", ["any.h5", "any.json", "any"])
def test_another_suffix_is_refused(saved, name):
    match = r"is a \.keras file. Received"
    refused(ValueError, match, load_model, saved.with_name(name))


@pytest.mark.parametrize("data", [b"", b"no model", b"PK\5\6" + bytes(18)])
def test_a_file_that_is_no_model_is_refused(saved, data):
    saved.write_bytes(data)
    refused(ValueError, "is no Keras model: ", load_model, saved)


DAMAGED, NO_CARD = "is damaged", "is not this model's card"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *[(text, DAMAGED) for text in ("", "{", "no", "\xff", "[" * 100_000)],
        *[(text, NO_CARD) for text in ("[]", "5", '"card"', "null", "{}")],
    ],
)
def test_what_is_no_card_is_refused(bare, text, why):
    bare.with_suffix(".json").write_text(text, "latin-1")
    refused(ValueError, f"any.json {why}", load_model, bare)


def test_the_card_of_another_model_is_refused(bare):
    other = bare.with_name("other.keras")
    save_model(make_model(seed=1), other, CARD)
    other.with_suffix(".json").replace(bare.with_suffix(".json"))
    refused(ValueError, f"any.json {NO_CARD}", load_model, bare)


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
        ("uncertainty_sha256", 5),
    ],
)
def test_a_foreign_card_is_refused(bare, key, value):
    file = bare.with_suffix(".json")
    card = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(card | {key: value}), "utf-8")
    match = f"any.json is not .*`{key}` must be .*Received"
    refused(ValueError, match, load_model, bare)


def test_a_card_that_does_not_fit_is_not_written(tmp_path):
    card = CARD | {"class_names": ["a", "b", "c"]}
    with pytest.raises(ValueError, match="`class_names` must be one for each"):
        save_model(make_model(), tmp_path / "a.keras", card)
    assert list(tmp_path.iterdir()) == []


def test_a_json_file_stays_as_it_was_when_writing_fails(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_code_in_a_model_is_not_run(tmp_path):
    """A Lambda layer holds Python code: safe mode refuses it."""
    path = tmp_path / "a.keras"
    code = layers.Lambda(lambda x: x * 2, output_shape=(16, 16, 3))
    save_model(make_model(first=(code,)), path, CARD)
    refused(ValueError, "a.keras is no Keras model: ", load_model, path)


def test_another_version_of_keras_is_named_as_a_cause(saved):
    parts = read_zip(saved)
    about = json.loads(parts["metadata.json"]) | {"keras_version": "9.9.9"}
    parts["metadata.json"] = json.dumps(about)
    write_zip(saved, parts)
    load_model(saved)  # no cause of anything as long as it loads
    write_zip(saved, parts | {"config.json": "{}"})
    match = r"saved by Keras 9\.9\.9, here is"
    refused(ValueError, match, load_model, saved)
