"""Choose by measuring in what a model computes fastest on this machine.

Which engine and number format wins depends on the processor and on the
network: on one machine bfloat16 doubles the speed of VGG16, on another it
halves it. A short trial with the model itself decides, and the answer is
kept for this machine, this network and these versions.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from catdog_helpers.machine import trials
from catdog_helpers.machine.devices import devices_told, on_devices, run_batch
from catdog_helpers.machine.precision import (
    formats,
    gpu_capability,
    with_precision,
)

OPENVINO = "openvino"  # it computes in float32, too
MAX_CHANGE = 0.02  # of the outputs, relative: no choice may move them more
MIN_WORK = 10.0  # seconds in float32; for less, a trial costs what it gains
MIN_IMAGES = 50_000  # of a training; for less, a trial costs too much
BATCH = 8  # OpenVINO wants batches of one size; small ones suit the caches

Run = Callable[[np.ndarray], list[np.ndarray]]


def choices() -> list[str]:
    """Return in what frozen models can compute on this machine.

    Returns:
        What `use_backend` was told, or else number formats of Keras and,
        on a CPU under TensorFlow where it is installed, "openvino".
    """
    if told := os.environ.get("CATDOG_PRECISION"):
        return [told]
    found = formats()
    is_tensorflow = keras.backend.backend() == "tensorflow"
    if is_tensorflow and find_spec("openvino") and not gpu_capability():
        found.append(OPENVINO)
    return found


def choose(model, x: np.ndarray, n_images: int, name: str) -> str:
    """Choose in what a frozen model computes fastest, without much change.

    Args:
        model: A frozen `keras.Model`.
        x: Some inputs for the trial, float32, such as one batch.
        n_images: How many inputs there are to run. If that takes Keras only
            seconds in float32, it is chosen without a trial.
        name: What names the model's layers, as `layers_key` does.

    Returns:
        One of `choices()`.
    """
    names = choices()
    if len(names) == 1 or devices_told() or n_images < 4 * len(x):
        return names[0]
    x, trial = _trial_of(name, x)

    def open_all() -> dict[str, Callable]:
        usual = partial(open_engine(model, "float32", x), x)
        (seconds,) = trials.least_seconds([usual])
        if seconds * n_images / len(x) < MIN_WORK:
            return {}
        runs, expected = {"float32": usual}, usual()[0]
        for other in names[1:]:
            with suppress(Exception):  # older versions cannot export
                run = partial(open_engine(model, other, x), x)
                if _change(expected, run()[0]) <= MAX_CHANGE:
                    runs[other] = run
        return runs

    return trials.fastest(trial, len(x), open_all)


def for_training(
    model,
    precision: str | None = None,
    *,
    image_size: int | None = None,
    n_images: int = 0,
):
    """Copy a model to the number format and the devices of this machine.

    Args:
        model: A `keras.Model`, before it is compiled.
        precision: The number format. Defaults to what `use_backend` was told,
            else to the one that a trial shows to be the fastest.
        image_size: Side of the images in pixels, for the trial.
        n_images: How many images training will take in all its epochs. For a
            short training there is no trial, and float32 is taken.

    Returns:
        The copy; the model itself if it computes so already.
    """
    # OpenVINO cannot train.
    names = [x for x in choices() if x != OPENVINO] or ["float32"]
    if not precision and len(names) > 1 and n_images >= MIN_IMAGES:
        precision = _choose_for_training(model, image_size, names)
    fast = with_precision(model, precision or names[0])
    return on_devices(fast, devices_told())


def _choose_for_training(model, image_size: int, names: list[str]) -> str:
    """Choose the number format in which a model trains fastest."""
    shape = (32, image_size, image_size, 3)

    def open_all() -> dict[str, Callable]:
        x = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
        y = np.arange(len(x)) % 2
        runs = {}
        for name in names:
            # Cloned: `with_precision` may give the model itself.
            trial = with_precision(keras.models.clone_model(model), name)
            trial.compile("sgd", "sparse_categorical_crossentropy")
            runs[name] = partial(trial.train_on_batch, x, y)
        return runs

    name = f"train {model.name} {model.count_params()} {shape}"
    return trials.fastest(name, shape[0], open_all)


def for_saving(model):
    """Copy a trained model back to one device and to float32.

    Args:
        model: What `for_training` returned, trained.

    Returns:
        A copy that runs anywhere; the model itself if it does so already.
    """
    return with_precision(on_devices(model), "float32")


def figures(name: str, x: np.ndarray) -> str:
    """Return the rates of a trial, such as "float32 146/s, bfloat16 87/s".

    Args:
        name: As for `choose`.
        x: As for `choose`.

    Returns:
        The text, empty if there was no trial.
    """
    rates = trials.measured(_trial_of(name, x)[1])
    return ", ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items())


def _trial_of(name: str, x: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the inputs of a trial, and the name under which it is kept."""
    x = x if gpu_capability() else x[:BATCH]  # a CPU is as fast with few images
    return x, f"run {name} {x.shape}"


def open_engine(model, choice: str, x: np.ndarray) -> Run:
    """Open a frozen model in what was chosen.

    Args:
        model: A frozen `keras.Model`.
        choice: One of `choices()`.
        x: One batch of inputs, for their shape.

    Returns:
        Function from a batch of inputs, float32, to the list of outputs.
    """
    if choice == OPENVINO:
        return _open_openvino(model, x.shape[1:])
    fast = with_precision(model, choice)

    def run(batch: np.ndarray) -> list[np.ndarray]:
        outputs = run_batch(fast, batch)
        return outputs if isinstance(outputs, list) else [outputs]

    return run


def _open_openvino(model, shape: tuple[int, ...]) -> Run:
    """Compile a model for OpenVINO, by Keras's own export."""
    import openvino

    spec = keras.InputSpec(shape=(BATCH, *shape), dtype="float32", name="x")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.xml")
        model.export(
            str(path), format=OPENVINO, input_signature=[spec], verbose=False
        )
        core = openvino.Core()
        # It takes 16 bits by itself where the processor has them.
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = core.compile_model(core.read_model(path), "CPU", options)

    def run(batch: np.ndarray) -> list[np.ndarray]:
        full = np.resize(batch, (-(-len(batch) // BATCH) * BATCH, *shape))
        parts = [
            [np.array(y) for y in compiled([full[i : i + BATCH]]).values()]
            for i in range(0, len(full), BATCH)
        ]
        # Behind its own outputs, a model with swish has some of its layers'.
        outputs = list(zip(*parts, strict=True))[: len(model.outputs)]
        return [np.concatenate(part)[: len(batch)] for part in outputs]

    return run


def _change(expected: np.ndarray, found: np.ndarray) -> float:
    """Return how far outputs are from those in float32, relative to these."""
    expected = expected.astype("float32")
    length = max(float(np.linalg.norm(expected)), 1e-12)
    return float(np.linalg.norm(found.astype("float32") - expected)) / length
