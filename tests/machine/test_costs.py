"""What a method costs, and freed memory kept for its next use."""

import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from catdog_helpers.machine.memory import peak_memory
from catdog_helpers.machine.trials import least_seconds

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux starts anew")
def test_peak_memory_sees_what_was_held_and_starts_anew(monkeypatch):
    peak_memory()
    before = peak_memory()
    np.ones(200_000_000, dtype="uint8")
    high = peak_memory()
    assert 180 < high - before < 260
    assert peak_memory() < high - 150
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() is None  # on Windows


def test_the_first_run_does_not_count():
    waits = [0.06, 0.05, 0.07] * 3 + [0.0]
    (seconds,) = least_seconds([lambda: time.sleep(waits.pop())])
    assert 0.05 <= seconds < 0.15


KEPT = """
import ctypes, resource, sys
if sys.argv[1] == "keep":
    import catdog_helpers as ch
    ch.use_backend()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
for number in range(9):
    if number == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    buffer = ctypes.c_void_p(libc.malloc(40_000_000))
    ctypes.memset(buffer, number, 40_000_000)
    libc.free(buffer)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no glibc")
def test_freed_memory_is_kept_for_its_next_use():
    """40 MB, which glibc by default maps and unmaps each time."""
    faults = [
        int(subprocess.check_output([sys.executable, "-c", KEPT, x], cwd=ROOT))
        for x in ("keep", "default")
    ]
    assert faults[0] < 100 < faults[1]
