"""Share memory among threads, measure it, and keep what was freed."""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# glibc's malloc.h, mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


class Budget:
    """A number of bytes that threads share, waiting until enough is free."""

    def __init__(self, n_bytes: int):
        self._whole = self._free = n_bytes
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, n_bytes: int) -> Iterator[None]:
        """Hold bytes, as soon as so many, or the whole budget, are free."""
        n_bytes = min(n_bytes, self._whole)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= n_bytes)
            self._free -= n_bytes
        try:
            yield
        finally:
            with self._changed:
                self._free += n_bytes
                self._changed.notify_all()


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
