"""Run an exported model without Keras, and hold it against the original."""

import warnings
from pathlib import Path

import numpy as np

from catdog_helpers.models import in_batches

# Between float32 programs: rounding moves a probability by 1e-5. An int8 file
# is another model; one below this agreement has lost what it was for.
MAX_DIFFERENCE = 1e-3
MIN_AGREEMENT, MIN_AGREEMENT_INT8 = 0.999, 0.95


def run_exported(path: str | Path, images: np.ndarray) -> list[np.ndarray]:
    """Run an exported model over images.

    Args:
        path: What `export` wrote: a `.onnx` or `.tflite` file, or the folder
            of a SavedModel.
        images: RGB of shape `(n, image_size, image_size, 3)` in [0, 255].

    Returns:
        Its outputs: probabilities of shape `(n, n_classes)`, float32, and, if
        it was exported with it, the distance of shape `(n,)`.
    """
    path = Path(path)
    open_file, size = {
        ".onnx": (_open_onnx, 32),
        ".tflite": (_open_litert, 1),
        "": (_open_saved_model, 32),
    }[path.suffix]
    return in_batches(open_file(path), images, batch_size=size)


def compare(expected: list[np.ndarray], found: list[np.ndarray]) -> dict:
    """Compare the answers of two models to the same images.

    Args:
        expected: Outputs of the original, probabilities first.
        found: Those of the exported model.

    Returns:
        `images`, their number; `largest_difference` of a probability or a
        distance; and `class_agreement`, the share with the same class, in
        [0, 1].
    """
    same = expected[0].argmax(axis=1) == found[0].argmax(axis=1)
    pairs = zip(expected, found, strict=True)
    # nan would compare as no difference at all.
    differences = [np.nan_to_num(np.abs(a - b), nan=1.0) for a, b in pairs]
    return {
        "images": len(same),
        "largest_difference": float(max(d.max() for d in differences)),
        "class_agreement": float(same.mean()),
    }


def check_parity(parity: dict, *, int8: bool) -> None:
    """Check that an exported model answers as the original does.

    Args:
        parity: What `compare` returned.
        int8: Whether the file computes with 8 bits: only the classes count.

    Raises:
        ValueError: If it does not.
    """
    least = MIN_AGREEMENT_INT8 if int8 else MIN_AGREEMENT
    too_far = not int8 and parity["largest_difference"] > MAX_DIFFERENCE
    if too_far or parity["class_agreement"] < least:
        raise ValueError(
            "the exported file answers differently and was not kept: same "
            f"class on {parity['class_agreement']:.2%} of {parity['images']} "
            f"images (at least {least:.1%} are asked), probabilities up to "
            f"{parity['largest_difference']:.2g} apart"
        )


def _open_onnx(path: Path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})


def _open_litert(path: Path):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:  # TensorFlow's own copy of it, while it has one
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    inputs = interpreter.get_input_details()[0]["index"]
    # Their order is not kept, but the names end with ":0", ":1".
    outputs = interpreter.get_output_details()
    outputs = sorted(outputs, key=lambda output: output["name"])

    def run(x):
        interpreter.set_tensor(inputs, x)
        interpreter.invoke()
        return [interpreter.get_tensor(x["index"]) for x in outputs]

    return run


def _open_saved_model(path: Path):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(x):
        outputs = loaded.serve(x)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return [output.numpy() for output in outputs]

    return run
