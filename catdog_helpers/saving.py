"""Keep a trained model with all that a reader of it needs to know."""

import hashlib
import json
import zipfile
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from catdog_helpers.data.images import DECODER
from catdog_helpers.machine.failures import first_line
from catdog_helpers.machine.files import replacing, sha256_of, write_json

# What `read_image` gives and every model here takes
PREPROCESSING = f"read_image {DECODER}: RGB in [0, 255], squared, bicubic"
ANY_SIZE = (None, None, 3)
MAX_IMAGE_SIZE = 4096  # pixels; a foreign card could ask for any memory


PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "pillow")


def save_model(
    model, path: str | Path, card: dict, uncertainty: dict | None = None
) -> dict:
    """Save a model and, beside it, its card, atomically.

    Args:
        model: A `keras.Model` from raw RGB in [0, 255] to probabilities.
        path: The `.keras` file; the card gets the same name with `.json`.
        card: At least `class_names`, in the order of the outputs, and
            `image_size` in pixels.
        uncertainty: What `measure_uncertainty` returned; goes to a `.npz`.

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
    check_card(card, path.with_suffix(".json"), model)
    with ExitStack() as files:  # renamed together, when all are written
        card_path = files.enter_context(replacing(path.with_suffix(".json")))
        if uncertainty is not None:
            arrays = files.enter_context(replacing(path.with_suffix(".npz")))
            np.savez_compressed(arrays, **uncertainty)
            card["uncertainty_sha256"] = sha256_of(arrays)
        model.save(files.enter_context(replacing(path)))
        write_json(card_path, card)
    return card


def load_model(path: str | Path):
    """Load a saved model with its card.

    Args:
        path: The `.keras` file that `save_model` wrote.

    Returns:
        model: The `keras.Model`, not compiled.
        card: What `save_model` returned.

    Raises:
        FileNotFoundError: If the model or its card is missing.
        ValueError: If the two do not belong together.
    """
    path = Path(path)
    card_path = path.with_suffix(".json")
    if path.suffix != ".keras":
        raise ValueError(f"a model is a .keras file. Received: {path}")
    for file in (path, card_path):
        if not file.is_file():
            raise FileNotFoundError(
                f"there is no {file}: a model is a .keras file with a .json "
                "of the same name beside it, as notebooks 02 to 04 write them"
            )
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{card_path} is damaged: {error}") from None
    check_card(card, card_path)
    model = read_keras(path)
    if card["weights_sha256"] != weights_sha256(model):
        raise ValueError(f"{path} and {card_path.name} do not belong together")
    check_card(card, card_path, model)
    return model, card


def load_uncertainty(
    path: str | Path, card: dict
) -> dict[str, np.ndarray] | None:
    """Load what a model's card says lies beside it: when it is not sure.

    Args:
        path: The `.keras` file.
        card: The card, as `load_model` returned it.

    Returns:
        What `measure_uncertainty` returned; `None` if the card names none.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not the one that the card names.
    """
    if "uncertainty_sha256" not in card:
        return None
    path = Path(path).with_suffix(".npz")
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}, which the card names")
    if sha256_of(path) != card["uncertainty_sha256"]:
        raise ValueError(f"{path} and its model's card do not belong together")
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def versions() -> dict[str, str]:
    """Give the versions of the packages that results depend on.

    Returns:
        Package name to version, those that are installed.
    """
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def read_keras(path: Path):
    """Load a `.keras` file, or raise ValueError with one line."""
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file can raise nearly anything
        reason = first_line(error)
        other, here = _saved_by(path), keras.__version__
        if other not in ("", here):
            reason += f" (saved by Keras {other}, here is {here})"
        raise ValueError(f"{path} is no Keras model: {reason}") from None


def _saved_by(path: Path) -> str:
    """Tell which Keras saved a file; nothing if the file does not."""
    with suppress(Exception), zipfile.ZipFile(path) as file:
        return json.loads(file.read("metadata.json"))["keras_version"]
    return ""


def weights_sha256(model) -> str:
    """Name a model's weights by their content.

    Args:
        model: A `keras.Model`.

    Returns:
        64 hexadecimal digits. Hashes of saved files are no use: a `.keras`
        file holds the time of its saving.
    """
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(f"{weight.shape}{weight.dtype}".encode())
        digest.update(weight.tobytes())
    return digest.hexdigest()


def check_card(card: dict, path: Path, model=None) -> None:
    """Check that a card is one, and that of the model.

    Args:
        card: What the `.json` file holds, or shall hold.
        path: Its place, for the message.
        model: The `keras.Model`; without it, only the card is checked.

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
    """Yield what is wrong, first things first: a key, and what it must be."""
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
    if not isinstance(card.get("weights_sha256"), str):
        yield "weights_sha256", "the hash of its weights"
    if model and model.output_shape != (None, len(names)):
        yield "class_names", f"one for each output of {model.output_shape}"
    if model and model.input_shape[1:] not in ((size, size, 3), ANY_SIZE):
        yield "image_size", f"that of the input, {model.input_shape}"
