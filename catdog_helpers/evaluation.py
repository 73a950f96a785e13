"""Measure a model on the test images, once, and keep the result."""

import time
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from catdog_helpers.runs import load_split
from catdog_helpers.saving import load_model, save_model, versions, write_json
from catdog_helpers.splits import split_rows
from catdog_helpers.uncertainty import measure_uncertainty


def wilson_interval(
    correct: int, n: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Give the interval in which the true accuracy lies.

    Wilson's score interval (E. B. Wilson, JASA 22, 1927): unlike the usual
    plus-minus it holds near 100 % and for few images.

    Args:
        correct: Number of images answered correctly.
        n: Number of images.
        confidence: Share of such intervals that hold the true value.

    Returns:
        low, high: In [0, 1].
    """
    interval = binomtest(correct, n).proportion_ci(confidence, "wilson")
    return float(interval.low), float(interval.high)


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict:
    """Measure predicted probabilities against the true classes.

    Args:
        probabilities: Shape `(n, n_classes)`, rows that add up to 1.
        labels: Shape `(n,)`, class numbers.

    Returns:
        `test_accuracy` in [0, 1], its `test_interval`, the
        `interval_method`, and `test_log_loss` in nats (lower is better).
    """
    labels = np.asarray(labels)
    correct = int((probabilities.argmax(axis=1) == labels).sum())
    of_truth = probabilities[np.arange(len(labels)), labels]
    return {
        "test_accuracy": correct / len(labels),
        "test_interval": wilson_interval(correct, len(labels)),
        "interval_method": "Wilson score, 95 %",
        # 1e-7 is the epsilon of Keras's own cross-entropy.
        "test_log_loss": float(-np.log(of_truth.clip(1e-7, 1)).mean()),
    }


def clock():
    """Make a callback that notes the seconds since the start of training.

    Returns:
        A callback; put it first, then every epoch of the history has
        `seconds`.
    """
    import keras

    start = time.perf_counter()

    def note(epoch, logs):
        logs["seconds"] = time.perf_counter() - start

    return keras.callbacks.LambdaCallback(on_epoch_end=note)


def save_result(
    out: str | Path,
    method: str,
    model,
    probabilities: np.ndarray,
    history: dict,
    *,
    base: str = "none",
    weights: str = "none",
    seconds_before: float = 0.0,
    tail: tuple | None = None,
) -> dict:
    """Keep a method's model, its measured result and its history.

    The saved model is loaded again and must repeat the probabilities.

    Args:
        out: Directory of the run; the split is read from there.
        method: "scratch_cnn", "bottleneck" or "fine_tuned".
        model: The whole model, from raw RGB in [0, 255] to probabilities.
        probabilities: Of the test images, shape `(n_test, n_classes)`.
        history: `History.history` of its training, with `seconds`.
        base: Name or path of the pretrained base.
        weights: The base's weights: "imagenet", a path, or "random".
        seconds_before: Time that went into features and earlier training.
        tail: The part of the model behind stored features, and these
            features; saves running all of it to learn when it is not sure.

    Returns:
        The content of `results/<method>.json`.

    Raises:
        RuntimeError: If the saved model does not repeat what was measured.
    """
    out = Path(out)
    images, manifest, info = load_split(out)
    train, validation, test = split_rows(manifest)
    labels = manifest.label.to_numpy()
    path = out / "models" / f"{method}.keras"
    kept = {"dataset", "class_names", "image_size", "split_sha256"}
    card = {"method": method} | {key: info[key] for key in sorted(kept)}
    card |= {"base": Path(base).name, "weights": Path(weights).name}
    uncertainty = measure_uncertainty(
        *(tail or (model, images)), labels, train, validation
    )
    save_model(model, path, card, uncertainty)
    _check_reloaded(path, images, test, probabilities)
    result = card | {key: info[key] for key in info if key.startswith("n_")}
    result |= score(probabilities, labels[test])
    result |= {
        "epochs": len(history["loss"]),
        "train_seconds": history["seconds"][-1],
        "seconds_before": seconds_before,
        "seed": info["seed"],
        "model": f"models/{path.name}",
        "versions": versions(),
        "history": {k: [float(v) for v in h] for k, h in history.items()},
    }
    (out / "results").mkdir(exist_ok=True)
    np.save(out / "results" / f"{method}.npy", probabilities)
    write_json(out / "results" / f"{method}.json", result)
    return result


def _check_reloaded(path, images, rows, probabilities) -> None:
    model, _ = load_model(path)
    some = rows[:16]
    again = model.predict_on_batch(images[some].astype("float32"))
    difference = float(np.abs(again - probabilities[: len(some)]).max())
    # Features are kept with 11 significant bits (float16).
    if difference > 0.02:
        raise RuntimeError(
            f"{path} gives probabilities that differ by {difference:.3f} from "
            "those measured: it was saved or joined wrongly"
        )
