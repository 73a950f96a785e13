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
def test_peak_memory_sees_what_was_held_and_freed_and_starts_anew():
    peak_memory()
    before = peak_memory()
    np.ones(200_000_000, dtype="uint8")
    high = peak_memory()
    assert 180 < high - before < 260
    assert peak_memory() < high - 150


def test_peak_memory_is_not_told_on_windows(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() is None


def test_the_first_run_does_not_count():
    waits = [0.06, 0.05, 0.07] * 3 + [0.0]
    (seconds,) = least_seconds([lambda: time.sleep(waits.pop())])
    assert 0.05 <= seconds < 0.15


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc",
    reason="no glibc",
)
def test_freed_memory_is_kept_for_its_next_use():
    """40 MB, which glibc by default maps and unmaps each time."""
    code = (
        "import ctypes, resource, sys\n"
        "if sys.argv[1] == 'keep':\n"
        "    import catdog_helpers as ch\n"
        "    ch.use_backend()\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.malloc.restype = ctypes.c_void_p\n"
        "for number in range(9):\n"
        "    if number == 1:\n"
        "        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    buffer = ctypes.c_void_p(libc.malloc(40_000_000))\n"
        "    ctypes.memset(buffer, number, 40_000_000)\n"
        "    libc.free(buffer)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    faults = {}
    for what in ("keep", "default"):
        command = [sys.executable, "-c", code, what]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        faults[what] = int(done.stdout)
    assert faults["keep"] < 100 < faults["default"], faults
