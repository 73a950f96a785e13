"""Write a model in a format that needs no Keras, as far as Keras can."""

import warnings
from pathlib import Path

import numpy as np

from catdog_helpers.machine.failures import first_line

FILES = {  # format: the file, or folder, that holds the model
    "onnx": "model.onnx",
    "litert": "model.tflite",
    "saved_model": "saved_model",
    "web": "model.tflite",
    "card": "model.keras",
}
# Operations of ConvNeXt: the exact GELU, and a convolution in a function
NOT_IN_ONNX = {"Erfc", "StatefulPartitionedCall"}
KERAS_FORMATS = {"saved_model": "tf_saved_model", "web": "litert"}
# Keras names the first package that it misses; this names all.
PACKAGES = {
    "tensorflow": "tf2onnx onnxruntime",
    "jax": "jax2onnx onnxruntime",
    "torch": "onnx onnxscript onnxruntime litert-torch ai-edge-litert",
}


def with_answers(model, uncertainty: dict | None, *, far: bool = True):
    """Return the model that is exported: calibrated, its outputs named."""
    import keras

    from catdog_helpers.uncertainty import EPSILON, with_distance

    whole = with_distance(model, uncertainty if far else None)
    probabilities, *distance = whole.outputs
    if uncertainty is not None:  # as `calibrate` does it
        logits = keras.ops.log(keras.ops.maximum(probabilities, EPSILON))
        temperature = float(uncertainty["temperature"])
        probabilities = keras.ops.softmax(logits / temperature)
    outputs = {"probabilities": probabilities}
    outputs |= {"distance": distance[0]} if distance else {}
    return keras.Model(whole.inputs[0], outputs)


def write_file(
    model, format: str, file: Path, image_size: int, int8_images
) -> None:
    """Write what `with_answers` returned, with Keras's own exporter."""
    import keras

    is_litert, options = file.suffix == ".tflite", {}
    # LiteRT in a browser takes no batch of another size than the file's.
    shape = (1 if is_litert else None, image_size, image_size, 3)
    if keras.backend.backend() == "tensorflow":
        if format == "onnx":
            _write_onnx(model, shape, file)
            return
        if is_litert:
            options = _litert_options(int8_images)
            # Keras before 3.15 takes the batch from the model alone.
            image = keras.Input(batch_shape=shape, name="image")
            model = keras.Model(image, model(image))
    elif int8_images is not None:
        raise NotImplementedError("8 bits need TensorFlow")
    with warnings.catch_warnings(action="ignore"):
        model.export(
            str(file),
            format=KERAS_FORMATS.get(format, format),
            input_signature=[keras.InputSpec("float32", shape, name="image")],
            verbose=False,
            **options,
        )


def explain(error: Exception, format: str) -> Exception:
    """Return an error that says in a line why a format was not written."""
    import keras

    backend, reason = keras.backend.backend(), first_line(error)
    reason = f"{format} was not written on the {backend} backend: {reason}"
    if isinstance(error, ImportError):
        return ImportError(f"{reason}; pip install {PACKAGES[backend]}")
    return ValueError(reason)


def _write_onnx(model, shape: tuple, file: Path) -> None:
    """Write an ONNX file; Keras's exporter forgets some bases' constants."""
    import tensorflow as tf
    import tf2onnx
    from tensorflow.python.framework import convert_to_constants

    run = tf.function(
        lambda image: model(image, training=False),
        input_signature=[tf.TensorSpec(shape, tf.float32, name="image")],
        autograph=False,
    ).get_concrete_function()
    operations = {x.type for x in run.graph.get_operations()}
    if unknown := sorted(operations & NOT_IN_ONNX):  # at once, not in minutes
        raise NotImplementedError(
            f"tf2onnx cannot convert {', '.join(unknown)}; export this base "
            "as litert or saved_model"
        )
    frozen = convert_to_constants.convert_variables_to_constants_v2(run)
    outputs = sorted(run.structured_outputs)
    names = [x.name for x in (*frozen.inputs, *frozen.outputs)]
    tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=names[:1],
        output_names=names[1:],
        tensors_to_rename=dict(zip(names, ("image", *outputs), strict=True)),
        output_path=str(file),
    )


def _litert_options(int8_images: np.ndarray | None) -> dict:
    """Return options of TensorFlow's converter."""
    import tensorflow as tf

    # No other operations: neither browsers nor phones have them.
    operations = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    if int8_images is None:
        return {"target_spec": operations}
    batches = [[np.float32(x[None])] for x in int8_images]
    return {
        "target_spec": operations,
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": lambda: batches,
    }
