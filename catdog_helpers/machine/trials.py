"""Measure how fast something runs on this machine, and keep the answer."""

import os
import platform
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

from catdog_helpers.machine.backend import (
    random_state,
    set_random_state,
    versions,
)
from catdog_helpers.machine.files import read_json, write_json
from catdog_helpers.machine.precision import cpu_info, formats


def least_seconds(runs: list[Callable]) -> list[float]:
    """Return the least seconds of each run, in turn, once it is compiled.

    In turn, so that other work on the machine slows all of them alike.
    """
    for run in runs:
        run()
    taken, start = [], time.perf_counter()
    while not taken or len(taken) < 9 and time.perf_counter() - start < 2:
        row = [time.perf_counter()]
        for run in runs:
            run()
            row.append(time.perf_counter())
        taken.append(np.diff(row))
    return np.min(taken, axis=0).tolist()


def fastest(
    name: str, n_images: int, open_all: Callable[[], dict[str, Callable]]
) -> str:
    """Return the fastest choice; float32 unless another gains 3 %.

    Args:
        name: The name under which the trial is kept.
        n_images: How many images each run of the trial takes.
        open_all: Function that returns what to measure, by choice; called
            if there was no trial yet. It may be empty: then there is none.
    """
    rates = measured(name)
    if not rates:
        with same_random_state():
            runs = open_all()
            seconds = least_seconds(list(runs.values()))
        rates = {k: n_images / s for k, s in zip(runs, seconds, strict=True)}
        if rates:
            path = _file()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, read_json(path) | {_key(name): rates})
    best = max(rates, key=rates.get, default="float32")
    is_faster = rates and rates[best] > 1.03 * rates["float32"]
    return best if is_faster else "float32"


def measured(name: str) -> dict[str, float]:
    """Return the images a second of an earlier trial here, if any."""
    return read_json(_file()).get(_key(name), {})


@contextmanager
def same_random_state() -> Iterator[None]:
    """Leave the random state as it was: layers draw seeds when copied."""
    state, framework = random.getstate(), random_state()
    try:
        yield
    finally:
        random.setstate(state)
        set_random_state(framework)


def _file() -> Path:
    """Return the file that keeps the trials, beside Keras's own."""
    home = os.environ.get("KERAS_HOME", Path.home() / ".keras")
    return Path(home, "catdog", "trials.json")


def _key(name: str) -> str:
    """Name a trial by the model, the machine and the versions."""
    model = re.search(r"model name\s*: (.*)", cpu_info())
    processor = model[1] if model else platform.processor()
    here = [platform.machine(), processor, str(os.cpu_count()), *formats()]
    return " ".join([name, keras.backend.backend(), *here, str(versions())])
