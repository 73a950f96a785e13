"""Read what each method measured, and put the methods side by side."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from catdog_helpers.data.runs import load_run
from catdog_helpers.machine.files import read_json

OF_THE_SPLIT = ("split_sha256", "image_size", "class_names")
LATER = "06_compare_the_methods"  # measures what is not in METHODS
METHODS = {  # the usual name, and the notebook that measures it
    "scratch_cnn": ("scratch CNN", "02_cnn_from_scratch"),
    "bottleneck": ("bottleneck features", "03_vgg16_bottleneck_features"),
    "fine_tuned": ("fine-tuned", "04_vgg16_fine_tuning"),
}
# What the keys of a result must hold
TEXTS = ("dataset", "base", "weights", "label")
COSTS = ("trainable_parameters", "peak_memory_mb", "file_mb", "milliseconds")
NUMBERS = ("test_accuracy", "test_log_loss", "train_seconds", "n_train", *COSTS)
NUMBERS += ("seconds_before", "epochs", "resolution", "seed")
NUMBERS += ("balanced_accuracy", "test_calibration_error")
# These may be missing, or `None`, where they were not measured or chosen.
OPTIONAL = {"label", "balanced_accuracy", "test_calibration_error", *COSTS}


def load_results(out: str | Path, *needed: str) -> dict[str, dict]:
    """Read every result that was measured on this run's split.

    A result is left out, with a warning, if it is damaged, of another split,
    image size or class order, or built on another base than notebook 3 has
    now.

    Args:
        out: Directory of the run.
        *needed: Methods that must be among them.

    Returns:
        Method to the content of its JSON file, in the order of the series,
        then by name, controls last.

    Raises:
        FileNotFoundError: If a needed one is missing, with its notebook.
    """
    folder, info = Path(out) / "results", load_run(out).info
    results, first = {}, read_json(folder / "bottleneck.json")
    for path in sorted(folder.glob("[!.]*.json")):
        result = read_json(path)
        if problem := _problem(path, result, info, first):
            warnings.warn(
                f"{path} {problem} and is left out: run its notebook again",
                stacklevel=2,
            )
        else:
            results[path.stem] = result
    for name in needed:
        if name not in results:
            raise FileNotFoundError(
                f"{folder / name}.json is missing: run notebook "
                f"{METHODS.get(name, (name, LATER))[1]} first"
            )
    others = sorted(results.keys() - METHODS, key=lambda n: ("control" in n, n))
    return {n: results[n] for n in [*METHODS, *others] if n in results}


def _problem(path: Path, result: dict, info: dict, first: dict) -> str:
    """Return why a result cannot be used; empty if it can."""
    for key in _wrong_keys(path.stem, result):
        return f"is damaged (`{key}`)"
    same = (*OF_THE_SPLIT, "n_validation", "n_test")
    if any(result.get(key) != info[key] for key in same):
        return "was measured on another split, image size or class order"
    base = ("base", "weights", "resolution")
    if path.stem.startswith(("bottleneck", "fine_tuned")) and any(
        result[key] != first.get(key) for key in base
    ):
        return "does not have the base of bottleneck.json"
    shape = info["n_test"], len(info["class_names"])
    if not _are_probabilities(path.with_suffix(".npy"), shape):
        return f"has no probabilities of shape {shape} in {path.stem}.npy"
    return ""


def _wrong_keys(method: str, result: dict) -> Iterator[str]:
    """Yield the keys of a result whose values are missing or wrong."""
    checks = {
        "method": lambda x: x == method,
        "model": lambda x: x == f"models/{method}.keras",
        **dict.fromkeys(TEXTS, lambda x: isinstance(x, str)),
        **dict.fromkeys(NUMBERS, _is_number),
        "test_interval": lambda x: _are_numbers(x) and len(x) == 2,
        "history": lambda x: (
            isinstance(x, dict) and all(map(_are_numbers, x.values()))
        ),
    }
    for key, check in checks.items():
        value = result.get(key)
        if not (check(value) or value is None and key in OPTIONAL):
            yield key


def _is_number(x) -> bool:
    return type(x) in (int, float) and 0 <= x < 1e18


def _are_numbers(x) -> bool:
    """Return whether it is a list of numbers, NaN included."""
    return isinstance(x, list) and set(map(type, x)) <= {int, float}


def _are_probabilities(path: Path, shape: tuple[int, int]) -> bool:
    """Return whether a file has probabilities of this shape."""
    try:
        found = np.load(path, allow_pickle=False)
        return found.shape == shape and bool(
            ((found >= 0) & (found <= 1)).all()
        )
    except (OSError, ValueError, EOFError, TypeError, AttributeError):
        return False


def last_method(results: dict[str, dict]) -> str:
    """Return the last method of the series that was measured.

    Args:
        results: What `load_results` returned.

    Returns:
        "fine_tuned", or the last one before it that was measured; without
        any of them, the last variant.

    Raises:
        FileNotFoundError: If no method was measured.
    """
    found = [name for name in METHODS if name in results] or list(results)
    if not found:
        raise FileNotFoundError(
            "no method was measured yet: run notebook 02_cnn_from_scratch"
        )
    return found[-1]


def display_name(result: dict) -> str:
    """Return the name of a method for plots and tables.

    Args:
        result: Content of a result's JSON file.

    Returns:
        Its `label`, or the method's usual name, with "(random base)" if the
        base was not pretrained.
    """
    usual, _ = METHODS.get(result["method"], (result["method"], ""))
    name = result.get("label") or usual
    unsaid = result["weights"] == "random" and "random" not in name
    return f"{name} (random base)" if unsaid else name


def scoreboard(out: str | Path) -> pd.DataFrame:
    """Put all methods of a run side by side.

    Args:
        out: Directory of the run.

    Returns:
        One row per method: `test accuracy`, `low` and `high` of its 95 %
        interval, `balanced accuracy` (the mean of the classes' own), `log
        loss`, `calibration error` (see `calibration_error`), `training
        images`, `trainable parameters`, `seconds` and its two terms,
        `seconds to prepare` (features, earlier training) and `seconds to
        train`, `peak memory (MB)` (see `peak_memory`), `file size (MB)`,
        `milliseconds a photograph`. NaN: not measured.
    """
    return to_scores(load_results(out).values())


def to_scores(results: Iterable[dict]) -> pd.DataFrame:
    """Put results side by side.

    Args:
        results: Contents of results' JSON files.

    Returns:
        As `scoreboard`.
    """
    results = list(results)
    rows = [
        {
            "test accuracy": result["test_accuracy"],
            "low": result["test_interval"][0],
            "high": result["test_interval"][1],
            "balanced accuracy": result.get("balanced_accuracy"),
            "log loss": result["test_log_loss"],
            "calibration error": result.get("test_calibration_error"),
            "training images": result["n_train"],
            "trainable parameters": result.get("trainable_parameters"),
            "seconds": result["seconds_before"] + result["train_seconds"],
            "seconds to prepare": result["seconds_before"],
            "seconds to train": result["train_seconds"],
            "peak memory (MB)": result.get("peak_memory_mb"),
            "file size (MB)": result.get("file_mb"),
            "milliseconds a photograph": result.get("milliseconds"),
        }
        for result in results
    ]
    names = pd.Index(map(display_name, results), name="method", dtype=object)
    # `None` becomes NaN.
    return pd.DataFrame(rows, index=names).apply(pd.to_numeric)
