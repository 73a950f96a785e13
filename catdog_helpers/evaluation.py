"""Measure a model on the test images, once, and keep the result."""

import math
import time
from pathlib import Path

import numpy as np
from keras import callbacks, layers

from catdog_helpers.costs import milliseconds_a_photograph, peak_memory
from catdog_helpers.data.splits import split_rows
from catdog_helpers.metrics import score
from catdog_helpers.models import leaves
from catdog_helpers.results import OF_THE_SPLIT
from catdog_helpers.runs import load_split
from catdog_helpers.saving import load_model, save_model, versions, write_json
from catdog_helpers.uncertainty import measure_uncertainty


def clock():
    """Make a callback that notes the seconds since the start of training.

    Returns:
        A callback; put it first, then every epoch of the history has
        `seconds`.
    """
    start = time.perf_counter()

    def note(epoch, logs):
        logs["seconds"] = time.perf_counter() - start

    return callbacks.LambdaCallback(on_epoch_end=note)


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
    tail: tuple | None = None,
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
        weights: The base's weights: "imagenet", a path, or "random".
        seconds_before: Time that went into features and earlier training.
        label: What plots and tables call the method. Defaults to its name.
        n_train: Training images used. Defaults to all of the split.
        tail: The part of the model behind stored features, and these
            features; saves running all of it to learn when it is not sure.

    Returns:
        The content of `results/<method>.json`.

    Raises:
        ValueError: If there is not one row of probabilities per test image,
            with one column per class.
        RuntimeError: If the saved model does not repeat what was measured.
    """
    out = Path(out)
    images, manifest, info = load_split(out)
    train, validation, test = split_rows(manifest)
    labels = manifest.label.to_numpy()
    _check_shape(probabilities, len(test), info["class_names"])
    costs = {"peak_memory_mb": peak_memory()}
    n_trainable = sum(math.prod(w.shape) for w in model.trainable_weights)
    path = out / "models" / f"{method}.keras"
    card = {"method": method} | {k: info[k] for k in (*OF_THE_SPLIT, "dataset")}
    card |= {"base": Path(base).name, "weights": Path(weights).name}
    sizes = [x.height for x in leaves(model) if isinstance(x, layers.Resizing)]
    card |= {"resolution": sizes[0] if sizes else info["image_size"]}
    uncertainty = measure_uncertainty(
        *(tail or (model, images)), labels, train, validation
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
    return result


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
