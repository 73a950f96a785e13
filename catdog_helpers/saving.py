"""Save a model together with all that a reader of it needs to know."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np

from catdog_helpers.data.images import DECODER
from catdog_helpers.machine.backend import versions
from catdog_helpers.machine.failures import first_line
from catdog_helpers.machine.files import replacing
from catdog_helpers.machine.networks import (
    read_keras,
    read_member,
    weights_sha256,
    without_optimizer,
)
from catdog_helpers.uncertainty import MEASURED

# What `read_image` returns and every model here takes
PREPROCESSING = f"read_image {DECODER}: RGB in [0, 255], squared, bicubic"
ANY_SIZE = (None, None, 3)
MAX_IMAGE_SIZE = 4096  # pixels; a foreign card could ask for any memory
# What is stored in the .keras file as well, whose other members Keras ignores
MEMBERS = {".json": "card.json", ".npz": "uncertainty.npz"}


def save_model(
    model, path: str | Path, card: dict, uncertainty: dict | None = None
) -> dict:
    """Save a model with its card and its uncertainty, atomically.

    All of it is in the `.keras` file, from where `load_model` reads it. The
    optimizer is not: a checkpoint keeps what training needs to continue.
    Copies are written beside it, since a card is worth reading.

    Args:
        model: A `keras.Model` from raw RGB in [0, 255] to probabilities.
        path: The `.keras` file; the copies have the same name with `.json`
            and `.npz`.
        card: At least `class_names`, in the order of the outputs, and
            `image_size` in pixels.
        uncertainty: What `measure_uncertainty` returned.

    Returns:
        The card as written, with the hash of the weights, the preprocessing
        and the versions.

    Raises:
        ValueError: If the card does not fit the model.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    card = card | {"weights_sha256": weights_sha256(model)}
    card |= {"preprocessing": PREPROCESSING, "versions": versions()}
    check_card(card, path, model)
    parts = {}
    if uncertainty is not None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **uncertainty)
        parts[".npz"] = buffer.getvalue()
        card["uncertainty_sha256"] = hashlib.sha256(parts[".npz"]).hexdigest()
    text = json.dumps(card, indent=2, ensure_ascii=False)
    parts[".json"] = text.encode()
    with replacing(path) as partial:
        with without_optimizer(model):
            model.save(partial)
        with zipfile.ZipFile(partial, "a") as file:
            for suffix, data in parts.items():
                file.writestr(MEMBERS[suffix], data)
    for suffix in MEMBERS.keys() - parts.keys():
        path.with_suffix(suffix).unlink(missing_ok=True)  # an earlier model's
    for suffix, data in parts.items():
        with replacing(path.with_suffix(suffix)) as partial:
            partial.write_bytes(data)
    return card


def load_model(path: str | Path):
    """Load a saved model with its card.

    Args:
        path: The `.keras` file that `save_model` wrote. A model of another
            program, too, if a card lies beside it.

    Returns:
        model: The `keras.Model`, not compiled.
        card: What `save_model` returned.

    Raises:
        FileNotFoundError: If the model or its card is missing.
        ValueError: If it is not a model, or its card is damaged or belongs to
            another one.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"a model is a .keras file. Received: {path}")
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}: run the notebook that saves it, 02 to 04"
        )
    before = path.stat()
    model = read_keras(path)
    place, data = _read_part(path, ".json")
    try:
        card = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} is damaged: {error}") from None
    after = path.stat()
    if (after.st_ino, after.st_mtime) != (before.st_ino, before.st_mtime):
        return load_model(path)  # another process has just replaced it
    check_card(card, place, model)
    return model, card


def load_uncertainty(
    path: str | Path, card: dict
) -> dict[str, np.ndarray] | None:
    """Load what a model needs to answer "not sure".

    Args:
        path: The `.keras` file.
        card: The card, as `load_model` returned it.

    Returns:
        What `measure_uncertainty` returned; `None` if the card names none.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is damaged, or not what the card names.
    """
    if "uncertainty_sha256" not in card:
        return None
    place, data = _read_part(Path(path), ".npz")
    if hashlib.sha256(data).hexdigest() != card["uncertainty_sha256"]:
        raise ValueError(f"{place} and its model's card do not belong together")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in MEASURED}
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        reason = first_line(error)
        raise ValueError(
            f"{place} is damaged or of an earlier version ({reason}): train "
            "again"
        ) from None


def _read_part(path: Path, suffix: str) -> tuple[Path, bytes]:
    """Read the card or the uncertainty of a model, and say from where."""
    inside = read_member(path, MEMBERS[suffix])
    if inside is not None:
        return path, inside
    beside = path.with_suffix(suffix)
    if not beside.is_file():
        raise FileNotFoundError(
            f"there is no {beside}: {path.name} was not saved by `save_model`, "
            "so it needs this file beside it"
        )
    return beside, beside.read_bytes()


def check_card(card: dict, path: Path, model) -> None:
    """Check that a card is complete and belongs to a model.

    Args:
        card: The content of the card.
        path: Its file, for the message.
        model: The `keras.Model`.

    Raises:
        ValueError: If not, with the first thing that is wrong.
    """
    for key, wanted in _problems(card, model):
        got = card.get(key) if isinstance(card, dict) else card
        raise ValueError(
            f"{path} is not this model's card: `{key}` must be {wanted}. "
            f"Received: {got!r:.99}"
        )


def _problems(card: dict, model):
    """Yield each wrong key of a card and what its value must be."""
    if not isinstance(card, dict):
        yield "class_names", "there"
    names, size = card.get("class_names"), card.get("image_size")
    named = isinstance(names, list) and all(isinstance(n, str) for n in names)
    if not (named and len(set(names) - {""}) == len(names) > 1):
        yield "class_names", "two or more different names"
    if type(size) is not int or not 0 < size <= MAX_IMAGE_SIZE:
        yield "image_size", f"a number of pixels, 1 to {MAX_IMAGE_SIZE}"
    if card.get("preprocessing") != PREPROCESSING:
        yield "preprocessing", f"{PREPROCESSING!r} (else train it again)"
    if card.get("weights_sha256") != weights_sha256(model):
        yield "weights_sha256", "the hash of the model's weights"
    if not isinstance(card.get("uncertainty_sha256", ""), str):
        yield "uncertainty_sha256", "a hash"
    if model.output_shape != (None, len(names)):
        yield "class_names", f"one for each output of {model.output_shape}"
    if model.input_shape[1:] not in ((size, size, 3), ANY_SIZE):
        yield "image_size", f"that of the input, {model.input_shape}"
