"""Write a model in a format that needs no Keras, as far as Keras can."""

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np

FILES = {
    "onnx": "model.onnx",
    "litert": "model.tflite",
    "saved_model": "saved_model",
    "web": "model.onnx",
}
# What Keras 3.15 writes on which backend, and the packages that it takes
NEEDS = {
    "onnx": {
        "tensorflow": ("tf2onnx", "onnxruntime"),
        "jax": ("jax2onnx", "onnxruntime"),
        "torch": ("onnx", "onnxscript", "onnxruntime"),
    },
    "litert": {
        "tensorflow": (),
        "torch": ("litert_torch", "ai_edge_litert"),
    },
    "saved_model": {"tensorflow": (), "jax": ("tensorflow",)},
}
NEEDS["web"] = NEEDS["onnx"]


def check_format(format: str, int8: bool) -> None:
    """Check that this Keras can write a format here.

    Args:
        format: One of `FILES`.
        int8: Whether with 8 bits.

    Raises:
        ValueError: If the installed backend cannot.
        ImportError: If a package is missing.
    """
    import keras

    if format not in FILES:
        known = ", ".join(FILES)
        raise ValueError(
            f"`format` must be one of {known}. Received: {format!r}"
        )
    if int8 and format != "litert":
        raise ValueError(f"int8 files are LiteRT files. Received: {format!r}")
    backend, writers = keras.backend.backend(), NEEDS[format]
    if backend not in writers:
        raise ValueError(
            f"Keras cannot write {format} on the {backend} backend: set "
            f"KERAS_BACKEND to {' or '.join(writers)} before Python starts"
        )
    missing = [name for name in writers[backend] if find_spec(name) is None]
    if missing:
        packages = " ".join(missing).replace("_", "-")
        raise ImportError(f"{format} needs more: pip install {packages}")


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

    Raises:
        ValueError: If the exporter fails, with its reason.
    """
    import keras

    shape = (None, image_size, image_size, 3)
    spec = keras.InputSpec(shape=shape, dtype="float32", name="image")
    keras_format = {"saved_model": "tf_saved_model", "web": "onnx"}
    options = {"format": keras_format.get(format, format), "verbose": False}
    if int8_images is not None:
        options |= _int8(int8_images)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.export(str(file), input_signature=[spec], **options)
    except Exception as error:  # converters raise nearly anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{format} was not written: {reason}") from None


def _int8(images: np.ndarray) -> dict:
    """Options of TensorFlow's converter for post-training quantisation."""
    import tensorflow as tf

    def examples():
        for x in images:
            yield [np.float32(x[None])]

    optimizations = [tf.lite.Optimize.DEFAULT]
    return {"optimizations": optimizations, "representative_dataset": examples}


def with_distance(model, uncertainty: dict | None):
    """Make a model give the distance, too, as `uncertainty.distance` does.

    Args:
        model: A `keras.Model` from raw RGB to probabilities.
        uncertainty: As for `export`; `None` gives the model as it is.

    Returns:
        A `keras.Model` with both as outputs.
    """
    if uncertainty is None:
        return model
    import keras

    from catdog_helpers.uncertainty import EPSILON, with_features

    run = with_features(model)
    features, probabilities = run.outputs
    components = np.float32(uncertainty["components"]).T
    inside = keras.ops.matmul(features, components)
    length = keras.ops.sum(features**2, axis=1)
    length = keras.ops.maximum(length, EPSILON)
    share = keras.ops.sum(inside**2, axis=1) / length
    distance = keras.ops.clip(1 - share, 0, 1)
    return keras.Model(run.inputs, [probabilities, distance])
