"""Freed memory: kept for its next use."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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
