"""Choose the framework that Keras computes with."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from catdog_helpers.machine.memory import keep_freed_memory

BACKENDS = ("tensorflow", "jax", "torch")
PACKAGES = ("keras", *BACKENDS, "openvino", "numpy", "pillow")


def use_backend(
    name: str | None = None,
    *,
    precision: str | None = None,
    devices: int | None = None,
    persist: str | Path | None = None,
) -> str:
    """Choose what Keras computes with; call it before `import keras`.

    The choice holds for this process and for those that it starts: it is
    stored in the environment, as KERAS_BACKEND, CATDOG_PRECISION,
    CATDOG_DEVICES and CATDOG_PERSIST, which also provide the defaults.

    Keras is imported and set to channels last and float32, which all images and
    weights here have, whatever the user's `keras.json` says.

    The process then keeps freed memory for its next use (on Linux, see
    `keep_freed_memory`), and TensorFlow computes with oneDNN unless the
    environment forbids it: its default is to do so on the newest CPUs only.
    On a CPU with AVX2 alone, training without it took 1.1 to 1.6 times as
    long.

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
    imported = sys.modules.get("keras")
    if imported and imported.config.backend() != name:
        raise ValueError(
            f"Keras already computes with {imported.config.backend()}: restart "
            f"the kernel, then choose. Received: {name!r}"
        )
    os.environ["KERAS_BACKEND"] = name
    chosen = {"PRECISION": precision, "DEVICES": devices, "PERSIST": persist}
    for key, value in chosen.items():
        if value is not None:
            os.environ[f"CATDOG_{key}"] = str(value)
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # Errors only; 3, since at 2 a machine without a GPU logs that as an error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keep_freed_memory()
    with quiet():
        import keras

    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_dtype_policy("float32")
    # TensorFlow warns that functions are traced often, which many different
    # models need. Importing it in Jupyter sets the level back to INFO.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return name


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
    """Return the state of PyTorch's random numbers, of the CPU and each GPU.

    It is empty on the other backends, where dropout keeps its state in the
    model.
    """
    import keras

    if keras.config.backend() != "torch":
        return []
    import torch

    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return [state.numpy() for state in states]


def set_random_state(states: list[np.ndarray]) -> None:
    """Restore what `random_state` returned, on as many GPUs."""
    if states:
        import torch

        cpu, *gpus = map(torch.from_numpy, states)
        torch.set_rng_state(cpu)
        torch.cuda.set_rng_state_all(gpus)


def versions() -> dict[str, str]:
    """Return the versions of the installed packages that results depend on."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
