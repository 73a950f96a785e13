"""Choose the framework that Keras computes with."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from catdog_helpers.machine.memory import keep_freed_memory

BACKENDS = ("tensorflow", "jax", "torch")


def use_backend(
    name: str | None = None,
    *,
    precision: str | None = None,
    devices: int | None = None,
    persist: str | Path | None = None,
) -> str:
    """Choose what Keras computes with; call it before `import keras`.

    What is chosen here holds for the whole process and for those that it
    starts: it is kept in the environment, as KERAS_BACKEND, CATDOG_PRECISION,
    CATDOG_DEVICES and CATDOG_PERSIST, which also give the defaults.

    The process then keeps freed memory for its next use (on Linux, see
    `keep_freed_memory`), and TensorFlow computes with oneDNN, unless the
    environment says otherwise: by itself it does so on the newest CPUs only.
    On one with AVX2 alone, training then took 1.1 to 1.6 times as long.

    Args:
        name: "tensorflow", "jax" or "torch". Defaults to what the
            environment's `KERAS_BACKEND` says, else to the first of them that
            is installed (Colab's TPU machines have no TensorFlow).
        precision: "float32", "bfloat16" or "float16": what frozen layers and
            the CNN from scratch compute in. Defaults to the fastest here.
        devices: How many GPUs share each batch. Defaults to one.
        persist: A folder that outlives the session, such as one on a mounted
            drive: see `catdog_helpers.machine.backup`.

    Returns:
        The name of the backend in use.

    Raises:
        ValueError: If there is no such backend, it is not installed, or Keras
            was imported with another one.
    """
    installed = [x for x in BACKENDS if find_spec(x)]
    name = name or os.environ.get("KERAS_BACKEND") or (installed or [""])[0]
    if name not in installed:
        raise ValueError(
            "the backend must be one that is installed "
            f"({', '.join(installed) or 'none is'}; pip install tensorflow, "
            f"jax or torch). Received: {name!r}"
        )
    keras = sys.modules.get("keras")
    if keras and keras.config.backend() != name:
        raise ValueError(
            f"Keras computes with {keras.config.backend()} already: restart "
            f"the kernel, then choose. Received: {name!r}"
        )
    os.environ["KERAS_BACKEND"] = name
    chosen = {"PRECISION": precision, "DEVICES": devices, "PERSIST": persist}
    for key, value in chosen.items():
        if value is not None:
            os.environ[f"CATDOG_{key}"] = str(value)
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    _log_errors_only()
    keep_freed_memory()
    return name


def _log_errors_only() -> None:
    """Make TensorFlow and Keras log errors only, unless told otherwise."""
    # 3, as at 2 a machine without a GPU logs that as an error at every start.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # It warns of every model that is built, as the notebooks do in turn.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextmanager
def quiet() -> Iterator[None]:
    """Drop what C++ code writes to the process's standard error meanwhile.

    TensorFlow logs up to 9 lines while it is imported, when no log level
    applies yet, and LiteRT some at each use. `TF_CPP_MIN_LOG_LEVEL=0` in the
    environment keeps them, to find out why an import ends the process.
    """
    wanted = os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0"
    try:
        stderr = None if wanted else os.dup(2)
    except OSError:  # it is closed
        stderr = None
    if stderr is None:
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nothing)


def random_state() -> list[np.ndarray]:
    """Give the state of the framework's own random numbers.

    Returns:
        PyTorch's, of the CPU and of each GPU; nothing on the other backends,
        where dropout keeps its state in the model.
    """
    import keras

    if keras.config.backend() != "torch":
        return []
    import torch

    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return [state.numpy() for state in states]


def set_random_state(states: list[np.ndarray]) -> None:
    """Put back what `random_state` returned.

    Args:
        states: What it returned, on as many GPUs.
    """
    if states:
        import torch

        cpu, *gpus = map(torch.from_numpy, states)
        torch.set_rng_state(cpu)
        torch.cuda.set_rng_state_all(gpus)
