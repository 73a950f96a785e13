"""Measure what a computation costs in memory and time; keep freed memory."""

import ctypes
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

# glibc's malloc.h, mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let the process keep the memory that it frees, for its next use.

    A training step allocates and frees the same large buffers again and
    again. glibc returns each to the system at once, and the system provides
    the next one page by page, zeroed: 1.3 million page faults in one epoch of
    300 small images, half of the time where faults are slow (in a virtual
    machine). Other allocators keep memory anyway, as Colab's tcmalloc does;
    without glibc, nothing happens.
    """
    _call("mallopt", M_MMAP_MAX, 0)  # all from the heap ...
    _call("mallopt", M_TRIM_THRESHOLD, -1)  # ... which never shrinks


def give_back_freed_memory() -> None:
    """Return free memory to the system, so that only used memory counts."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    """Call a function of glibc; without one, do nothing."""
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None), name, None)
        if function:
            function(*arguments)


def peak_memory() -> float | None:
    """Return the greatest memory in use by the process since the last call.

    It is the peak of resident memory (`ru_maxrss`) of the whole process, with
    its libraries and the pages of memory-mapped files, but without a GPU's.
    Only Linux can reset it (proc(5), `clear_refs`); elsewhere it is the peak
    since the process began.

    Returns:
        MB, or `None` on Windows, where it is not available.
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
    """Return the median time of three runs over a batch, after a first one.

    Args:
        model: From raw RGB to probabilities.
        images: One batch, shape `(n, height, width, 3)`.

    Returns:
        Milliseconds, divided by n.
    """
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        model.predict_on_batch(images)
        taken.append(time.perf_counter() - start)
    return 1000 * float(np.median(taken[1:])) / len(images)
