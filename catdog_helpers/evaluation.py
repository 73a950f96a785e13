"""Measure a model on the test images, once, and keep the result."""

import math
import time
from pathlib import Path

import numpy as np
from keras import layers
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score

from catdog_helpers.bases import weights_name
from catdog_helpers.data.runs import backup_run, load_run
from catdog_helpers.machine.files import write_json
from catdog_helpers.machine.layers import leaves
from catdog_helpers.machine.memory import peak_memory
from catdog_helpers.results import OF_THE_SPLIT
from catdog_helpers.saving import load_model, save_model, versions
from catdog_helpers.training import Checkpoint
from catdog_helpers.uncertainty import measure_uncertainty


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
    label: str | None = None,
    n_train: int | None = None,
    stored: tuple | None = None,
    checkpoint: Checkpoint | None = None,
) -> dict:
    """Keep a method's model, its measured result and its history.

    The saved model is loaded again and must repeat the probabilities. What
    it costs is noted, too: weights that were trained, the process's peak
    memory so far (see `peak_memory`), file size, and time for a photograph.

    Args:
        out: Directory of the run; the split is read from there.
        method: "scratch_cnn", "bottleneck", "fine_tuned", or another file
            name of your own.
        model: The whole model, from raw RGB in [0, 255] to probabilities, its
            layers as open or frozen as they were in training.
        probabilities: Of the test images, shape `(n_test, n_classes)`.
        history: `History.history` of its training, with `seconds`.
        base: Name or path of the pretrained base.
        weights: The base's weights: as for `load_base`, or their name.
        seconds_before: Time that went into features and earlier training.
        label: What plots and tables call the method. Defaults to its name.
        n_train: Training images used. Defaults to all of the split.
        stored: The head, or what else lies behind stored features, and these
            features: saves running the whole model to learn when it is not
            sure.
        checkpoint: That of the training, deleted when the model is saved.

    Returns:
        The content of `results/<method>.json`.

    Raises:
        ValueError: If there is not one row of probabilities per test image,
            with one column per class.
        RuntimeError: If the saved model does not repeat what was measured.
    """
    out = Path(out)
    images, labels, train, validation, test, names, info, _ = load_run(out)
    _check_shape(probabilities, len(test), names)
    weights = weights_name(base, weights)
    costs = {"peak_memory_mb": peak_memory()}
    n_trainable = sum(math.prod(w.shape) for w in model.trainable_weights)
    path = out / "models" / f"{method}.keras"
    card = _card(method, model, info, base, weights)
    uncertainty = measure_uncertainty(
        *(stored or (model, images)), labels, train, validation
    )
    save_model(model, path, card, uncertainty)
    costs |= _check_reloaded(path, model, images, test, probabilities)
    result = card | {key: info[key] for key in info if key.startswith("n_")}
    result |= score(probabilities, labels[test])
    result |= costs | {
        "label": label,
        "n_train": n_train or info["n_train"],
        "trainable_parameters": n_trainable,
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
    if checkpoint is not None:
        checkpoint.remove()
    backup_run(out, info)
    return result


def _card(method: str, model, info: dict, base: str, weights: str) -> dict:
    """Return what a model's card says of its method, its data and its base."""
    card = {"method": method} | {k: info[k] for k in (*OF_THE_SPLIT, "dataset")}
    card |= {"base": Path(base).name, "weights": weights}
    sizes = [x.height for x in leaves(model) if isinstance(x, layers.Resizing)]
    return card | {"resolution": sizes[0] if sizes else info["image_size"]}


def _check_shape(probabilities, n: int, class_names: list[str]) -> None:
    if probabilities.shape != (n, len(class_names)):
        raise ValueError(
            "`probabilities` of the test images must have the shape "
            f"{(n, len(class_names))}. Received: {probabilities.shape}"
        )
    if not np.isfinite(probabilities).all():
        raise ValueError(
            "`probabilities` are not finite: the training has diverged, so "
            "lower its learning rate"
        )


def _check_reloaded(path, model, images, rows, probabilities) -> dict:
    some = np.arange(32) % len(rows)
    x = images[rows[some]].astype("float32")
    reloaded, _ = load_model(path)
    again = reloaded.predict_on_batch(x)
    # The first must be exact. The features behind the second may have been
    # computed in bfloat16, with 8 significant bits.
    for known, most, wrong in (
        (model.predict_on_batch(x), 1e-3, "the model: it was saved wrongly"),
        (probabilities[some], 0.1, "those measured: it was joined wrongly"),
    ):
        difference = float(np.abs(again - known).max())
        if not difference <= most:  # NaN, too
            raise RuntimeError(
                f"{path} gives probabilities that differ by {difference:.3f} "
                f"from {wrong}"
            )
    milliseconds = milliseconds_a_photograph(reloaded, x)
    return {"milliseconds": milliseconds, "file_mb": path.stat().st_size / 1e6}


def milliseconds_a_photograph(model, images: np.ndarray) -> float:
    """Measure how long a model takes, once it is warm: three times.

    Args:
        model: From raw RGB to probabilities.
        images: One batch, shape `(n, height, width, 3)`.

    Returns:
        Milliseconds, the median of three, divided by n.
    """
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        model.predict_on_batch(images)
        taken.append(time.perf_counter() - start)
    return 1000 * float(np.median(taken[1:])) / len(images)


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Give the 95 % interval of an accuracy.

    Wilson's score interval (E. B. Wilson, JASA 22, 1927): unlike the usual
    plus-minus it holds near 100 % and for few images.

    Args:
        correct: Number of images answered correctly.
        n: Number of images.

    Returns:
        low, high: In [0, 1].
    """
    interval = binomtest(correct, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Measure how far a model's certainty is from its success.

    The expected calibration error with 15 bins of equal width (Guo et al.,
    On Calibration of Modern Neural Networks, ICML 2017, section 2): answers
    are sorted into bins by the probability of the class answered; in each bin
    that probability should equal the share of right answers.

    Args:
        probabilities: Shape `(n, n_classes)`, rows that add up to 1.
        labels: Shape `(n,)`, class numbers.

    Returns:
        The distance, averaged over all images, in [0, 1]; 0 is best.
    """
    sure = probabilities.max(axis=1).astype("float64")
    right = probabilities.argmax(axis=1) == labels
    gaps = np.bincount(np.ceil(sure * 15).astype(int), right - sure)
    return float(np.abs(gaps).sum() / len(sure))


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict:
    """Measure predicted probabilities against the true classes.

    Args:
        probabilities: Shape `(n, n_classes)`, rows that add up to 1.
        labels: Shape `(n,)`, class numbers.

    Returns:
        `test_accuracy` in [0, 1], its `test_interval`, the
        `interval_method`, `balanced_accuracy` (the mean of the classes' own
        accuracies), `test_log_loss` in nats (lower is better), and
        `test_calibration_error` in [0, 1] with its `calibration_method`.
    """
    labels = np.asarray(labels)
    answers = probabilities.argmax(axis=1)
    correct = int((answers == labels).sum())
    of_truth = probabilities[np.arange(len(labels)), labels]
    return {
        "test_accuracy": correct / len(labels),
        "test_interval": wilson_interval(correct, len(labels)),
        "interval_method": "Wilson score, 95 %",
        # Each class counts the same, however few its images.
        "balanced_accuracy": float(balanced_accuracy_score(labels, answers)),
        # 1e-7 is the epsilon of Keras's own cross-entropy.
        "test_log_loss": float(-np.log(of_truth.clip(1e-7, 1)).mean()),
        "test_calibration_error": calibration_error(probabilities, labels),
        "calibration_method": "expected calibration error, 15 equal bins",
    }
