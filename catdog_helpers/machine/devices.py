"""Share the work among several devices (GPUs) of one machine."""

import os

import keras
import numpy as np

from catdog_helpers.machine.networks import copy_layers


def use_devices(number: int | None = None) -> int:
    """Share every batch among devices, each with a copy of the weights.

    This is `MirroredStrategy` on TensorFlow and `DataParallel` on JAX; Keras
    has no counterpart for PyTorch. It holds for models built from now on;
    `on_devices` copies an existing model.

    Args:
        number: How many of the machine's GPUs or TPU cores; without any of
            them, how many CPU devices. `None` returns to one.

    Returns:
        The number of devices in use.

    Raises:
        ValueError: If there are fewer devices, or the backend can use only
            one.
    """
    backend = keras.config.backend()
    found = _devices(backend) if number is not None else []
    if number is not None and not 1 <= number <= len(found):
        raise ValueError(
            f"`number` of devices must be 1 to {len(found)} here, with "
            f"{backend} (TensorFlow and JAX can use several). "
            f"Received: {number}"
        )
    found = found[:number]
    if backend == "tensorflow":
        import tensorflow as tf

        if found or tf.distribute.has_strategy():
            strategy = tf.distribute.MirroredStrategy(found) if found else None
            tf.distribute.experimental_set_strategy(strategy)
    elif backend == "jax":
        parallel = keras.distribution.DataParallel
        keras.distribution.set_distribution(
            parallel(devices=found) if found else None
        )
    return number or 1


def devices_told() -> int | None:
    """Return the number of devices that `use_backend` was told, if any."""
    return int(os.environ.get("CATDOG_DEVICES", 0)) or None


def n_devices() -> int:
    """Return the number of devices that share a batch."""
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
        number: As for `use_devices`, which is called first.

    Returns:
        An uncompiled copy with the same weights and layer names; the model
        itself if it is on one device and remains there.
    """
    before = n_devices()
    if use_devices(number) == before == 1:
        return model
    # JAX normalises over the whole batch in any case, and rejects the option.
    whole = n_devices() > 1 and keras.config.backend() == "tensorflow"

    def change(layer) -> dict:
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        return {"synchronized": whole} if is_norm else {}

    return copy_layers(model, change)


def fill_up(rows: np.ndarray) -> np.ndarray:
    """Repeat the first rows until the devices can share them evenly."""
    return np.append(rows, np.resize(rows, -len(rows) % n_devices()))


def run_batch(model, x: np.ndarray) -> np.ndarray:
    """Predict one batch on all devices in use."""
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
