"""What a method costs: memory, and time for a photograph."""

import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from catdog_helpers.machine.memory import give_back_freed_memory


def peak_memory() -> float | None:
    """Give the most memory that the process has held since the last call.

    It is the high-water mark of resident memory (`ru_maxrss`), the whole
    process with its libraries and the pages of memory-mapped files, without a
    GPU's. Only Linux can start anew (proc(5), `clear_refs`); elsewhere it is
    the mark since the process began.

    Returns:
        MB, or `None` on Windows, which does not tell.
    """
    try:
        import resource
    except ModuleNotFoundError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    give_back_freed_memory()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    # Kilobytes on Linux, bytes on macOS: getrusage(2) of either.
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def milliseconds_a_photograph(model, images: np.ndarray) -> float:
    """Measure how long a model takes, once it is warm: three times.

    Args:
        model: From raw RGB to probabilities.
        images: One batch, shape `(n, height, width, 3)`.

    Returns:
        Milliseconds, the median of three, divided by n.
    """
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        model.predict_on_batch(images)
        taken.append(time.perf_counter() - start)
    return 1000 * float(np.median(taken[1:])) / len(images)
