"""Measure a model on the test images, once, and save the result."""

import math
from pathlib import Path

import numpy as np
from filelock import FileLock
from keras import layers
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score

from catdog_helpers.bases import weights_name
from catdog_helpers.data.runs import backup_run, load_run
from catdog_helpers.data.sources import DRAWN
from catdog_helpers.machine.backend import versions
from catdog_helpers.machine.files import read_json, replacing, write_json
from catdog_helpers.machine.memory import peak_memory
from catdog_helpers.machine.networks import leaves
from catdog_helpers.machine.trials import least_seconds
from catdog_helpers.results import OF_THE_SPLIT
from catdog_helpers.saving import load_model, save_model
from catdog_helpers.training import Checkpoint
from catdog_helpers.uncertainty import log_loss, measure_uncertainty


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
    """Save a method's model, its measured result and its history.

    The saved model is loaded again and must repeat the probabilities. Its
    costs are recorded, too: trained weights, the process's peak memory so far
    (see `peak_memory`), file size, and time for a photograph.

    Args:
        out: Directory of the run; the split is read from there.
        method: "scratch_cnn", "bottleneck", "fine_tuned", or a file name of
            your own.
        model: The whole model, from raw RGB in [0, 255] to probabilities, its
            layers as open or frozen as they were in training.
        probabilities: Of the test images, shape `(n_test, n_classes)`.
        history: `History.history` of its training, with `seconds`.
        base: Name or path of the pretrained base.
        weights: The base's weights: as for `load_base`, or their name.
        seconds_before: Time spent on features and earlier training.
        label: What plots and tables call the method. Defaults to its name.
        n_train: Training images used. Defaults to all of the split.
        stored: The part of the model behind stored features, such as the
            head, and these features. With them the whole model need not be
            run to measure its uncertainty.
        checkpoint: That of the training, deleted when the model is saved.

    Returns:
        The content of `results/<method>.json`.

    Raises:
        ValueError: If there is not one row of probabilities per test image,
            with one column per class, or the model of another data set would
            be overwritten.
        RuntimeError: If the saved model does not repeat what was measured.
    """
    out = Path(out)
    images, labels, train, validation, test, names, info, _ = load_run(out)
    _check_shape(probabilities, len(test), names)
    weights = weights_name(base, weights)
    path = out / "models" / f"{method}.keras"
    card = _card(method, model, info, base, weights)
    _check_owner(path, card)
    memory = peak_memory()
    uncertainty = measure_uncertainty(
        *(stored or (model, images)), labels, train, validation
    )
    result = card | {key: info[key] for key in info if key.startswith("n_")}
    result |= score(probabilities, labels[test])
    result |= {
        "peak_memory_mb": memory,
        "label": label,
        "n_train": n_train or info["n_train"],
        "seconds_before": seconds_before,
        "seed": info["seed"],
        "model": f"models/{path.name}",
        "versions": versions(),
    } | _training(model, history)
    results = out / "results"
    results.mkdir(exist_ok=True)
    with FileLock(out / f".{method}.lock"):  # model and result belong together
        save_model(model, path, card, uncertainty)
        result |= _check_reloaded(path, model, images, test, probabilities)
        with replacing(results / f"{method}.npy") as partial:
            np.save(partial, probabilities)
        write_json(results / f"{method}.json", result)
    if checkpoint is not None:
        checkpoint.remove()
    backup_run(out, info)
    return result


def _card(method: str, model, info: dict, base: str, weights: str) -> dict:
    """Return what a model's card says of its method, its data and its base."""
    card = {"method": method} | {k: info[k] for k in (*OF_THE_SPLIT, "dataset")}
    card |= {"base": Path(base).name, "weights": weights}
    card |= {"trained_on": "drawings"} if info["dataset"] in DRAWN else {}
    sizes = [x.height for x in leaves(model) if isinstance(x, layers.Resizing)]
    return card | {"resolution": sizes[0] if sizes else info["image_size"]}


def _training(model, history: dict) -> dict:
    """Return what a result says of the training of its model."""
    return {
        "trainable_parameters": sum(
            math.prod(w.shape) for w in model.trainable_weights
        ),
        "epochs": len(history["loss"]),
        "train_seconds": history["seconds"][-1],
        "history": {k: [float(v) for v in h] for k, h in history.items()},
    }


def _check_owner(path: Path, card: dict) -> None:
    """Raise ValueError rather than overwrite the model of other data."""
    old = read_json(path.with_suffix(".json")) if path.is_file() else {}
    for key in ("dataset", "class_names"):
        if old.get(key, card[key]) != card[key]:
            raise ValueError(
                f"{path} is the model of another data set, {old[key]!r}: "
                f"choose another OUT. Received: {card[key]!r}"
            )


def _check_shape(probabilities, n: int, class_names: list[str]) -> None:
    """Raise ValueError unless there is a row for each image, all finite."""
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
    """Check that a saved model repeats its figures; return what it costs."""
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
    (seconds,) = least_seconds([lambda: reloaded.predict_on_batch(x)])
    milliseconds = 1000 * seconds / len(x)
    return {"milliseconds": milliseconds, "file_mb": path.stat().st_size / 1e6}


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy.

    Wilson's score interval (E. B. Wilson, JASA 22, 1927): unlike the normal
    approximation it is valid near 100 % and for few images.

    Args:
        correct: Number of images answered correctly.
        n: Number of images.

    Returns:
        low, high: In [0, 1].
    """
    interval = binomtest(correct, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Measure how far probabilities are from the share of right answers.

    The expected calibration error with 15 bins of equal width (Guo et al.,
    On Calibration of Modern Neural Networks, ICML 2017, section 2): answers
    are sorted into bins by the probability of the answered class; in each bin
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
    return {
        "test_accuracy": correct / len(labels),
        "test_interval": wilson_interval(correct, len(labels)),
        "interval_method": "Wilson score, 95 %",
        "balanced_accuracy": float(balanced_accuracy_score(labels, answers)),
        "test_log_loss": log_loss(probabilities, labels),
        "test_calibration_error": calibration_error(probabilities, labels),
        "calibration_method": "expected calibration error, 15 equal bins",
    }
