"""Write a model in a format that needs no Keras, as far as Keras can."""

import warnings
from pathlib import Path

import numpy as np

from catdog_helpers.machine.failures import first_line

FILES = {
    "onnx": "model.onnx",
    "litert": "model.tflite",
    "saved_model": "saved_model",
    "web": "model.onnx",
}
# Keras names the first package that it misses; this names all.
PACKAGES = {
    "tensorflow": "tf2onnx onnxruntime",
    "jax": "jax2onnx onnxruntime",
    "torch": "onnx onnxscript onnxruntime litert-torch ai-edge-litert",
}


def write_file(
    model, format: str, file: Path, image_size: int, int8_images
) -> None:
    """Write a model with Keras's own exporter.

    Args:
        model: A `keras.Model` from raw RGB.
        format: One of `FILES`.
        file: Where to.
        image_size: Side of its images in pixels.
        int8_images: As for `export`.
    """
    import keras

    shape = (None, image_size, image_size, 3)
    spec = keras.InputSpec(shape=shape, dtype="float32", name="image")
    keras_format = {"saved_model": "tf_saved_model", "web": "onnx"}
    options = {"format": keras_format.get(format, format), "verbose": False}
    if int8_images is not None:
        options |= _int8(int8_images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.export(str(file), input_signature=[spec], **options)


def explain(error: Exception, format: str) -> Exception:
    """Say in one line why a format was not written, and what to do.

    Args:
        error: What an exporter, or a runtime, has raised.
        format: One of `FILES`.

    Returns:
        An ImportError if a package is missing, else a ValueError.
    """
    import keras

    backend, reason = keras.backend.backend(), first_line(error)
    reason = f"{format} was not written on the {backend} backend: {reason}"
    if isinstance(error, ImportError):
        return ImportError(f"{reason}; pip install {PACKAGES[backend]}")
    return ValueError(reason)


def _int8(images: np.ndarray) -> dict:
    """Options of TensorFlow's converter for post-training quantisation."""
    import tensorflow as tf

    def examples():
        for x in images:
            yield [np.float32(x[None])]

    optimizations = [tf.lite.Optimize.DEFAULT]
    return {"optimizations": optimizations, "representative_dataset": examples}
