"""Detect mistakes that raise no error and only cost accuracy."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

FROZEN = (
    "frozen weights have changed: compile again after freezing; set "
    "`trainable = False` on each BatchNormalization of a base (from scratch "
    "it must learn: `moving_averages=True`)"
)
OPENED = (
    "open weights have not changed: compile again after opening layers, and "
    "train for one epoch or more"
)


@contextmanager
def guard_weights(*models, moving_averages: bool = False) -> Iterator[None]:
    """Check that `fit` changes all trainable weights, and no others.

    `with guard_weights(model): model.fit(...)`. The weights that are trainable
    when the block begins must change. It detects layers that were opened or
    frozen without compiling again, training of zero epochs, and batch
    normalisation that overwrites a base's moving averages.

    Args:
        *models: The models whose weights are watched, frozen ones included:
            the whole model, or its parts.
        moving_averages: Whether batch normalisation may update its moving
            averages, as it must in a network trained from scratch.

    Returns:
        A context manager.

    Raises:
        ValueError: If nothing is trainable.
        RuntimeError: If other weights have changed, or some have not; the
            message names them.
    """
    weights = {id(w): w for model in models for w in model.weights}
    opened = {id(w) for model in models for w in model.trainable_weights}
    if not opened:
        raise ValueError("no weight is trainable: open a layer, then compile")
    before = {key: _sha256(weight) for key, weight in weights.items()}
    yield
    moved = {key for key, w in weights.items() if _sha256(w) != before[key]}
    learned = {k for k, w in weights.items() if w.name.startswith("moving_")}
    free = learned if moving_averages else set()
    for problem, wrong in (
        (FROZEN, moved - opened - free),
        (OPENED, opened - moved),
    ):
        if wrong:
            names = [weights[key].path for key in weights if key in wrong]
            names[3:] = [f"and {len(names) - 3} more"] if names[3:] else []
            raise RuntimeError(f"{problem}. Received: {', '.join(names)}")


def _sha256(weight) -> bytes:
    import keras

    array = keras.ops.convert_to_numpy(weight)
    return hashlib.sha256(array.tobytes()).digest()
