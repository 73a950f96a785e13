"""Stop at the mistakes that raise no error and only cost accuracy."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd


@contextmanager
def guard_weights(*models, moving_averages: bool = False) -> Iterator[None]:
    """Check that `fit` changes the open weights, all of them, and no others.

    `with guard_weights(model): model.fit(...)`. What may change is what is
    trainable when the block begins. It notices layers that were opened or
    frozen without compiling again, training of zero epochs, and batch
    normalisation that overwrites a base's moving averages.

    Args:
        *models: All whose weights are watched, frozen ones, too: the model,
            or the parts that it is made of.
        moving_averages: Whether batch normalisation may learn the averages
            over its images, as it must in a network trained from scratch.

    Returns:
        A context manager.

    Raises:
        ValueError: If nothing is trainable.
        RuntimeError: If the wrong weights have changed, with their names.
    """
    weights = {id(w): w for model in models for w in model.weights}
    opened = {id(w) for model in models for w in model.trainable_weights}
    if not opened:
        raise ValueError(
            "nothing can be trained: no weight is trainable. Received: "
            f"{', '.join(m.name for m in models)}. Open a layer, then compile"
        )
    before = {key: _sha256(weight) for key, weight in weights.items()}
    yield
    moved = {key for key, w in weights.items() if _sha256(w) != before[key]}
    learned = {k for k, w in weights.items() if w.name.startswith("moving_")}
    wrong = moved - opened - (learned if moving_averages else set())
    hint = "compile again after freezing"
    if wrong and wrong <= learned:
        hint = (
            "set `trainable = False` on each BatchNormalization of a base, or "
            "`moving_averages=True` for a network trained from scratch"
        )
    _refuse("frozen weights have changed", weights, wrong, hint)
    hint = "compile again after opening layers, and train for an epoch or more"
    _refuse("open weights have not changed", weights, opened - moved, hint)


def _sha256(weight) -> bytes:
    import keras

    array = keras.ops.convert_to_numpy(weight)
    return hashlib.sha256(array.tobytes()).digest()


def _refuse(problem: str, weights: dict, wrong: set, hint: str) -> None:
    names = [weight.path for key, weight in weights.items() if key in wrong]
    if names:
        more = ", …" if len(names) > 3 else ""
        raise RuntimeError(
            f"{len(names)} {problem}: {', '.join(names[:3])}{more}. {hint}"
        )


def check_raw_rgb(images: np.ndarray) -> None:
    """Check that images are raw, as a base with its own preprocessing needs.

    Args:
        images: Some images, shape `(n, height, width, 3)`. Integers pass;
            floats must look like RGB in [0, 255].

    Raises:
        ValueError: If they were divided by 255 or preprocessed already.
    """
    if np.issubdtype(images.dtype, np.integer):
        return
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and 1.5 < high <= 255):
        raise ValueError(
            "images must be raw RGB in [0, 255], as the base has its "
            "preprocessing inside: do not divide or preprocess them. "
            f"Received: values from {low:.3g} to {high:.3g}"
        )


def check_split(manifest: pd.DataFrame) -> None:
    """Check that no picture, and no near copy of one, is on two sides.

    Args:
        manifest: What `split` returned.

    Raises:
        ValueError: If one is, or if an image is used twice; with its path.
    """
    used = manifest[manifest.split != ""]
    sides = used.groupby("group").split.transform("nunique")
    for problem, wrong in (
        ("copies of a picture are on two sides of the split", sides > 1),
        ("an image is used twice", used.sha256.duplicated(keep=False)),
    ):
        if wrong.any():
            raise ValueError(
                f"{problem}, so that what is measured is partly remembered. "
                f"Received: {', '.join(used.path[wrong][:2])}. Call `split` "
                "again"
            )


def check_classes(class_names: list[str], manifest: pd.DataFrame) -> None:
    """Check that class names, in their order, are those of the labels.

    Args:
        class_names: As `dataset.json` and a model's card have them.
        manifest: What `split` returned.

    Raises:
        ValueError: If the order is another one.
    """
    names = sorted(manifest["class"].unique())
    labels = manifest["class"].map(names.index)
    if list(class_names) != names or not labels.equals(manifest.label):
        raise ValueError(
            "classes must be numbered in alphabetical order everywhere: "
            f"{names}. Received: {list(class_names)}. Run notebook "
            "01_download_data again"
        )


def check_outputs(n_outputs: int, class_names: list[str]) -> None:
    """Check that a model has one output for each class name.

    Args:
        n_outputs: Number of its outputs.
        class_names: In their order.

    Raises:
        ValueError: If there are more or fewer, or a name comes twice.
    """
    if not n_outputs == len(class_names) == len(set(class_names)):
        raise ValueError(
            f"a model needs one output for each of {class_names}. Received: "
            f"{n_outputs} outputs"
        )
