"""What a method costs: memory, weights to train, time for a photograph."""

import math
import sys
import time
from pathlib import Path

import numpy as np


def peak_memory() -> float | None:
    """Give the most memory that this process has held at any time.

    It is the high-water mark of resident memory (`ru_maxrss`): TensorFlow,
    data, and pages of memory-mapped files included, those on a GPU not. All
    that the process did before counts, too, unless `reset_peak_memory` was
    called.

    Returns:
        MB, or `None` on Windows, which does not tell.
    """
    try:
        import resource
    except ModuleNotFoundError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS: getrusage(2) of either.
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def reset_peak_memory() -> bool:
    """Let `peak_memory` start anew from what the process holds now.

    Returns:
        Whether that was possible: on Linux only, proc(5), `clear_refs`.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def count_trainable(model) -> int:
    """Count the weights that training may change.

    Args:
        model: A `keras.Model`, its layers as open as they were in `fit`.

    Returns:
        Number of single weights.
    """
    return sum(math.prod(w.shape) for w in model.trainable_weights)


def milliseconds_a_photograph(
    model, images: np.ndarray, *, repeats: int = 3
) -> float:
    """Measure how long a model takes, once it is warm.

    Args:
        model: From raw RGB to probabilities.
        images: One batch, shape `(n, height, width, 3)`.
        repeats: Batches measured, after one that is not.

    Returns:
        Milliseconds, the median of the batches divided by n.
    """
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model.predict_on_batch(images)
        taken.append(time.perf_counter() - start)
    return 1000 * float(np.median(taken[1:])) / len(images)
