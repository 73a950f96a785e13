"""The card of a model: what has to stand there, and whether it fits."""

from pathlib import Path

# What `read_image` gives and every model here takes. Raise the number when
# the same file would give other pixels.
PREPROCESSING = "read_image 1: RGB in [0, 255], squared, bicubic"
ANY_SIZE = (None, None, 3)
MAX_IMAGE_SIZE = 4096  # pixels; a foreign card could ask for any memory


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
