"""Run an exported model without Keras, and compare it with the original."""

import warnings
from pathlib import Path

import numpy as np

from catdog_helpers.models import in_batches
from catdog_helpers.prediction.predictor import judge
from catdog_helpers.uncertainty import calibrate, with_distance

# Between float32 programs: rounding moves a probability by 1e-5. An int8 file
# is another model; one below this agreement has lost what it was for.
MAX_DIFFERENCE = 1e-3
MIN_AGREEMENT, MIN_AGREEMENT_INT8 = 0.999, 0.95


def run_exported(path: str | Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Run an exported model over images.

    Args:
        path: What `export` wrote: a `.onnx` or `.tflite` file, or the folder
            of a SavedModel.
        images: RGB of shape `(n, image_size, image_size, 3)` in [0, 255].

    Returns:
        `probabilities`, calibrated, of shape `(n, n_classes)`, float32, and,
        if it was exported with it, the `distance` of shape `(n,)`.
    """
    path = Path(path)
    open_file, size = {
        ".onnx": (_open_onnx, 32),
        ".tflite": (_open_litert, 1),
        "": (_open_saved_model, 32),
    }[path.suffix]
    names, run = open_file(path)
    outputs = in_batches(run, images, batch_size=size)
    return dict(zip(names, outputs, strict=True))


def run_original(
    model, uncertainty: dict | None, images: np.ndarray
) -> dict[str, np.ndarray]:
    """Run a model as `predict` does; the outputs are those of an export."""
    run = with_distance(model, uncertainty).predict_on_batch
    probabilities, *distance = in_batches(run, images)
    temperature = uncertainty["temperature"] if uncertainty else 1.0
    found = {"probabilities": calibrate(probabilities, temperature)}
    return found | ({"distance": distance[0]} if distance else {})


def compare(
    expected: dict[str, np.ndarray], found: dict[str, np.ndarray], card: dict
) -> dict:
    """Compare the answers of two models to the same images.

    Args:
        expected: Outputs of the original.
        found: Those of the exported model.
        card: What says what they mean: `class_names` and, with a distance,
            `strange_above`.

    Returns:
        `images`, their number; `largest_difference` of a probability or a
        distance; `class_agreement` and `verdict_agreement`, the shares with
        the same class and the same verdict, in [0, 1].
    """
    # nan would compare as no difference at all.
    differences = [
        np.nan_to_num(np.abs(expected[name] - found[name]), nan=1.0)
        for name in found
    ]

    def answers(outputs: dict) -> list[dict]:
        probabilities, strange = outputs["probabilities"], False
        if "distance" in found:  # the file is asked only for what it has
            strange = outputs["distance"] > card["strange_above"]
        strange = np.broadcast_to(strange, len(probabilities))
        rows = zip(probabilities, strange, strict=True)
        return [judge(*row, card["class_names"]) for row in rows]

    a, b = answers(expected), answers(found)
    parity = {"images": len(a)}
    parity["largest_difference"] = float(max(d.max() for d in differences))
    for key in ("class", "verdict"):
        same = [x[key] == y[key] for x, y in zip(a, b, strict=True)]
        parity[f"{key}_agreement"] = float(np.mean(same))
    return parity


def check_parity(parity: dict, *, int8: bool) -> None:
    """Raise ValueError unless an exported model answers as the original.

    An int8 file computes other probabilities: only its answers count.
    """
    least = MIN_AGREEMENT_INT8 if int8 else MIN_AGREEMENT
    too_far = not int8 and parity["largest_difference"] > MAX_DIFFERENCE
    same = min(parity["class_agreement"], parity["verdict_agreement"])
    if too_far or same < least:
        raise ValueError(
            "the exported file answers differently and was not kept: same "
            f"answers to {same:.2%} of {parity['images']} images (at least "
            f"{least:.1%} are asked), probabilities up to "
            f"{parity['largest_difference']:.2g} apart"
        )


def _open_onnx(path: Path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return names, lambda x: session.run(None, {"image": x})


def _open_litert(path: Path):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:  # TensorFlow's own copy of it, while it has one
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = Interpreter(str(path)).get_signature_runner()
    names = sorted(run.get_output_details())
    (image,) = run.get_input_details()  # Keras before 3.15 names it otherwise

    def answer(x: np.ndarray) -> list[np.ndarray]:
        outputs = run(**{image: x})
        return [outputs[name] for name in names]

    return names, answer


def _open_saved_model(path: Path):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    names = sorted(loaded.signatures["serving_default"].structured_outputs)

    def run(x):
        outputs = loaded.serve(x)
        return [outputs[name].numpy() for name in names]

    return names, run
