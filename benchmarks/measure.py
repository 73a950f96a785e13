"""Measure things in turn: seconds, ratios, and the memory that each takes."""

import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

STATUS = Path("/proc/self/status")


def alternate(sides: dict[str, Callable], rounds: int) -> dict[str, dict]:
    """Run several things in turn: a, b, a, b, …

    What disturbs the machine then disturbs all of them alike. If a side
    returns something, that is the seconds and the MB that count, either of
    them or None. By name: `seconds` and `peak_mb`, one number a round.
    """
    found = {name: {"seconds": [], "peak_mb": []} for name in sides}
    for number in range(1, rounds + 1):
        for name, run in sides.items():
            with Peak() as peak:
                start = time.perf_counter()
                own_seconds, own_mb = run() or (None, None)
                took = time.perf_counter() - start
            seconds = took if own_seconds is None else own_seconds
            found[name]["seconds"].append(seconds)
            found[name]["peak_mb"].append(own_mb or peak.megabytes)
            print(
                f"round {number}/{rounds}  {name} {seconds:.3g} s", flush=True
            )
    return found


def to_row(
    name: str, floor: float | None, ours: dict, theirs: dict, **more
) -> dict:
    """Compare two sides that `alternate` measured, as a row of the table.

    `ratio` is the median over the rounds of theirs / ours (above 1: ours is
    faster), and `low` and `high` are the least and the greatest of them.
    """
    pairs = zip(ours["seconds"], theirs["seconds"], strict=True)
    ratios = [b / a for a, b in pairs]
    return {
        "row": name,
        "floor": floor,
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "rounds": len(ratios),
        "ours": ours,
        "theirs": theirs,
        **more,
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
        done = False
        while not done:
            done = self._done.wait(self.every)
            self.megabytes = max(self.megabytes, anonymous_megabytes())

    def __enter__(self):
        self.megabytes = anonymous_megabytes()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


def anonymous_megabytes() -> float:
    """Return how much memory this process holds, without mapped files."""
    if not STATUS.is_file():
        return peak_megabytes()
    kilobytes = STATUS.read_text().partition("RssAnon:")[2].split()[0]
    return int(kilobytes) / 1e3


def peak_megabytes(who: int = resource.RUSAGE_SELF) -> float:
    """Return the greatest resident size so far, mapped files included."""
    peak = resource.getrusage(who).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
