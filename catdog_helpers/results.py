"""Read what each method measured, and put the methods side by side."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from catdog_helpers.data.runs import load_run
from catdog_helpers.machine.files import read_json

OF_THE_SPLIT = ("split_sha256", "image_size", "class_names")
METHODS = {  # the usual name, and the notebook that measures it
    "scratch_cnn": ("scratch CNN", "02_cnn_from_scratch"),
    "bottleneck": ("bottleneck features", "03_vgg16_bottleneck_features"),
    "fine_tuned": ("fine-tuned", "04_vgg16_fine_tuning"),
}


def load_results(out: str | Path, *needed: str) -> dict[str, dict]:
    """Read every result that was measured on this run's split.

    Args:
        out: Directory of the run.
        *needed: Methods that must be among them.

    Returns:
        Method to the content of its JSON file, in the order of the series,
        then by name, controls last. Left out, with a warning, is a result
        that is damaged, of another split, image size or class order, or built
        on another base than notebook 3 has now.

    Raises:
        FileNotFoundError: If a needed one is missing, with its notebook.
    """
    out = Path(out)
    info = load_run(out).info
    results = {}
    for path in sorted((out / "results").glob("[!.]*.json")):
        results[path.stem] = read_json(path)
    first = results.get("bottleneck", {})
    for name, result in [*results.items()]:
        if not _belongs(name, result, info, first):
            del results[name]
            warnings.warn(
                f"{out / 'results' / name}.json is damaged, or was measured on "
                "another split, image size, class order or base, and is left "
                "out: run its notebook again",
                stacklevel=2,
            )
    for name in needed:
        if name not in results:
            raise FileNotFoundError(
                f"{out / 'results' / name}.json is missing: run notebook "
                f"{METHODS.get(name, (name, '06_compare'))[1]} first"
            )
    others = sorted(results.keys() - METHODS, key=lambda n: ("control" in n, n))
    return {n: results[n] for n in [*METHODS, *others] if n in results}


def _belongs(name: str, result: dict, info: dict, first: dict) -> bool:
    same = {key: info[key] for key in OF_THE_SPLIT} | {"method": name}
    if name.startswith(("bottleneck", "fine_tuned")):
        same |= {k: first.get(k) for k in ("base", "weights", "resolution")}
    return all(result.get(key) == value for key, value in same.items())


def last_method(results: dict[str, dict]) -> str:
    """Name the method that the series has come to.

    Args:
        results: What `load_results` returned.

    Returns:
        "fine_tuned", or the last one before it that was measured; without
        any of them, the last variant.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = [name for name in METHODS if name in results] or list(results)
    if not found:
        raise FileNotFoundError(
            "no method was measured yet: run 02_cnn_from_scratch or a later one"
        )
    return found[-1]


def display_name(result: dict) -> str:
    """Name a method as plots and tables show it.

    Args:
        result: Content of a result's JSON file.

    Returns:
        Its `label`, or the method's usual name; a base without pretraining is
        said to be one.
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
        images`, `trainable parameters`, `seconds` and what they are the sum
        of, `seconds to prepare` (features, earlier training) and `seconds to
        train`, `peak memory (MB)` (see `peak_memory`), `file size (MB)`,
        `milliseconds a photograph`. NaN: was not measured.
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
    # `None` (measured before, or where it cannot be) becomes NaN.
    return pd.DataFrame(rows, index=names).apply(pd.to_numeric)
