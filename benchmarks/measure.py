"""Measure two things in turn: seconds, ratios, and the memory each takes."""

import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

STATUS = Path("/proc/self/status")


def alternate(
    sides: dict[str, Callable[[], float | None]], rounds: int
) -> dict[str, dict]:
    """Run several things in turn: a, b, a, b, …

    What disturbs the machine then disturbs all of them alike.

    Args:
        sides: By name, what to run. What one returns, if anything, are the
            seconds that count; else those that the call took do.
        rounds: How often each is run.

    Returns:
        By name: `seconds`, one number a round, and `peak_mb`, the greatest
        memory while it ran (see `Peak`).
    """
    found = {name: {"seconds": [], "peak_mb": 0.0} for name in sides}
    for number in range(1, rounds + 1):
        for name, run in sides.items():
            with Peak() as peak:
                start = time.perf_counter()
                own = run()
                seconds = time.perf_counter() - start if own is None else own
            side = found[name]
            side["seconds"].append(seconds)
            side["peak_mb"] = max(side["peak_mb"], peak.megabytes)
            print(
                f"round {number}/{rounds}  {name} {seconds:.3g} s", flush=True
            )
    return found


def to_ratio(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Compare seconds round by round.

    Args:
        ours: Seconds, one number a round.
        theirs: Likewise, from the same rounds.

    Returns:
        `ratio`, the median over the rounds of theirs / ours (above 1: ours is
        faster), and `low` and `high`, the least and the greatest of them.
    """
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
    }


class Peak:
    """Note the greatest memory of this process inside a `with` block.

    `megabytes` counts anonymous memory (RssAnon): what the program holds, not
    the pages of memory-mapped files, which the system takes back at will.
    Where /proc is missing it is the process's greatest resident size so far.
    """

    def __init__(self, every: float = 0.02):
        self.every, self.megabytes = every, 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while True:
            self.megabytes = max(self.megabytes, anonymous_megabytes())
            if self._done.wait(self.every):
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.megabytes = max(self.megabytes, anonymous_megabytes())
        self._done.set()
        self._thread.join()


def anonymous_megabytes() -> float:
    """Return how much memory this process holds, without mapped files."""
    if not STATUS.is_file():
        return peak_megabytes()
    kilobytes = STATUS.read_text().partition("RssAnon:")[2].split()[0]
    return int(kilobytes) / 1e3


def peak_megabytes() -> float:
    """Return the greatest resident size so far, mapped files included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
