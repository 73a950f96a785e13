"""Share the work out among several devices (GPUs) of one machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from catdog_helpers.machine.layers import copy_layers


def use_devices(number: int | None = None) -> int:
    """Share every batch out among devices; each has a copy of the weights.

    It is `MirroredStrategy` on TensorFlow and `DataParallel` on JAX; Keras
    has nothing alike for PyTorch. It holds for models made from now on, and
    for `extract_features`; `on_devices` copies a model that is there.

    Args:
        number: How many of the machine's GPUs (TPU cores; without any of
            them: CPU devices). `None` goes back to one, and does nothing if
            there never were more.

    Returns:
        The number of devices in use.

    Raises:
        ValueError: If there are not so many, or the backend cannot.
    """
    backend = keras.config.backend()
    found = _devices(backend) if number is not None else []
    if number is not None and not 1 <= number <= len(found):
        raise ValueError(
            f"`number` of devices must be 1 to {len(found)} here, with "
            f"{backend} (TensorFlow and JAX can use several). "
            f"Received: {number}"
        )
    if backend == "tensorflow":
        import tensorflow as tf

        if number:
            strategy = tf.distribute.MirroredStrategy(found[:number])
            tf.distribute.experimental_set_strategy(strategy)
        elif tf.distribute.has_strategy():
            tf.distribute.experimental_set_strategy(None)
    elif backend == "jax":
        spread = keras.distribution.DataParallel
        keras.distribution.set_distribution(
            spread(devices=found[:number]) if number else None
        )
    return number or 1


@contextmanager
def all_devices() -> Iterator[None]:
    """Use the number of devices that `use_backend` was told, within a block."""
    number = os.environ.get("CATDOG_DEVICES")
    if number:
        use_devices(int(number))
    try:
        yield
    finally:
        if number:
            use_devices(None)


def n_devices() -> int:
    """Count the devices that share a batch: 1 unless `use_devices` was told."""
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    used = keras.distribution.distribution() if backend == "jax" else None
    return used.device_mesh.devices.size if used else 1


def on_devices(model, number: int | None = None):
    """Copy a model to several devices before training, or back to one.

    Args:
        model: A functional or sequential `keras.Model`.
        number: As for `use_devices`, which is told.

    Returns:
        An uncompiled copy with the same weights and layer names; the model
        itself where one device was in use and is.
    """
    before = n_devices()
    return model if use_devices(number) == before == 1 else spread(model)


def spread(model):
    """Copy a model to the devices in use."""
    # JAX looks at the whole batch anyhow, and has no name for it.
    whole = n_devices() > 1 and keras.config.backend() == "tensorflow"

    def change(layer) -> dict:
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        return {"synchronized": whole} if is_norm else {}

    return copy_layers(model, change)


def fill_up(rows: np.ndarray) -> np.ndarray:
    """Repeat the first rows until the devices can share all evenly."""
    return np.append(rows, np.resize(rows, -len(rows) % n_devices()))


def run_batch(model, x: np.ndarray) -> np.ndarray:
    """Predict one batch, on all devices that the model was made for."""
    n = n_devices()
    if n == 1:
        return model.predict_on_batch(x)
    rows = fill_up(np.arange(len(x)))
    return model.predict(x[rows], batch_size=len(rows), verbose=0)[: len(x)]


def _devices(backend: str) -> list[str]:
    if backend == "jax":
        return keras.distribution.list_devices()
    if backend == "torch":
        return []
    import tensorflow as tf

    found = [tf.config.list_logical_devices(kind) for kind in ("GPU", "CPU")]
    return [device.name for device in found[0] or found[1]]
