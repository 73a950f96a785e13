"""What a method costs."""

import sys
import time

import numpy as np
import pytest

from catdog_helpers.evaluation import milliseconds_a_photograph
from catdog_helpers.machine.memory import peak_memory


def test_peak_memory_sees_what_was_held_and_let_go():
    peak_memory()
    before = peak_memory()
    block = np.ones(200_000_000, dtype="uint8")
    del block
    assert 180 < peak_memory() - before < 260


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux starts anew")
def test_peak_memory_starts_anew():
    np.ones(200_000_000, dtype="uint8")
    high = peak_memory()
    assert peak_memory() < high - 150


def test_peak_memory_is_not_told_on_windows(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() is None


def test_the_first_batch_does_not_count():
    class Model:
        waits = [0.5, 0.04, 0.2, 0.04]

        def predict_on_batch(self, images):
            time.sleep(self.waits.pop(0))

    taken = milliseconds_a_photograph(Model(), np.zeros((4, 8, 8, 3)))
    assert 10 <= taken < 30
    assert Model.waits == []
