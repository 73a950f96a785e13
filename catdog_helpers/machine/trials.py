"""Measure how fast something runs on this machine, and keep the answer."""

import os
import platform
import random
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
from catdog_helpers.machine.precision import formats


def measure(runs: dict[str, Callable], n_images: int) -> dict[str, float]:
    """Return the images a second of each run, measured in turn."""
    seconds = least_seconds(list(runs.values()))
    return {n: n_images / t for n, t in zip(runs, seconds, strict=True)}


def least_seconds(runs: list[Callable]) -> list[float]:
    """Return the least seconds of each run, in turn, once it is compiled.

    In turn, so that other work on the machine slows all of them alike.
    """
    for run in runs:
        run()
    taken, start = [], time.perf_counter()
    while not taken or len(taken) < 9 and time.perf_counter() - start < 2:
        row = []
        for run in runs:
            before = time.perf_counter()
            run()
            row.append(time.perf_counter() - before)
        taken.append(row)
    return np.min(taken, axis=0).tolist()


def measured(name: str) -> dict[str, float]:
    """Return the rates of an earlier trial on this machine, if any."""
    return read_json(_file()).get(_key(name), {})


def measure_once(name: str, try_all: Callable[[], dict | None]) -> dict | None:
    """Return the rates of an earlier trial on this machine, or try now."""
    path = _file()
    with same_random_state():
        rates = measured(name) or try_all()
    if rates:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, read_json(path) | {_key(name): rates})
    return rates


@contextmanager
def same_random_state() -> Iterator[None]:
    """Leave the random state as it was: layers draw seeds when copied."""
    state, framework = random.getstate(), random_state()
    try:
        yield
    finally:
        random.setstate(state)
        set_random_state(framework)


def best(rates: dict[str, float] | None) -> str:
    """Return the fastest; float32 unless another gains a tenth."""
    rates = rates or {"float32": 1.0}
    name = max(rates, key=rates.get)
    return name if rates[name] > 1.1 * rates["float32"] else "float32"


def _file() -> Path:
    """Return the file that keeps the trials, beside Keras's own."""
    home = os.environ.get("KERAS_HOME", Path.home() / ".keras")
    return Path(home, "catdog", "trials.json")


def _key(name: str) -> str:
    """Name a trial by the model, the machine and the versions."""
    here = [platform.machine(), _processor(), str(os.cpu_count()), *formats()]
    return " ".join([name, keras.backend.backend(), *here, str(versions())])


def _processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (x.partition(":")[2] for x in lines if x.startswith("model name"))
    return next(names, platform.processor()).strip()


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
