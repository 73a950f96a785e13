"""Read what each method measured, and put the methods side by side."""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from catdog_helpers.runs import load_split

METHODS = {
    "scratch_cnn": "scratch CNN",
    "bottleneck": "bottleneck features",
    "fine_tuned": "fine-tuned",
}


def load_results(out: str | Path) -> dict[str, dict]:
    """Read every result that was measured on this run's split.

    Args:
        out: Directory of the run.

    Returns:
        Method to the content of its JSON file, in the order of the series. A
        result of another split is left out, with a warning.
    """
    out = Path(out)
    *_, info = load_split(out)
    results = {}
    for path in sorted((out / "results").glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["split_sha256"] == info["split_sha256"]:
            results[result["method"]] = result
        else:
            warnings.warn(
                f"{path} was measured on another split and is left out: run "
                "its notebook again",
                stacklevel=2,
            )
    order = [*METHODS, *sorted(set(results) - set(METHODS))]
    return {name: results[name] for name in order if name in results}


def display_name(result: dict) -> str:
    """Name a method as plots and tables show it.

    Args:
        result: Content of a result's JSON file.

    Returns:
        The name; a base without pretraining is said to be one.
    """
    name = METHODS.get(result["method"], result["method"])
    return f"{name} (random base)" if result["weights"] == "random" else name


def scoreboard(out: str | Path) -> pd.DataFrame:
    """Put all methods of a run side by side.

    Args:
        out: Directory of the run.

    Returns:
        One row per method: `test accuracy`, `low` and `high` of its 95 %
        interval, `log loss`, `training images` and `seconds`, features and
        training together.
    """
    return to_scores(load_results(out).values())


def to_scores(results: Iterable[dict]) -> pd.DataFrame:
    """Put results side by side.

    Args:
        results: Contents of results' JSON files.

    Returns:
        As `scoreboard`.
    """
    rows = {
        display_name(result): {
            "test accuracy": result["test_accuracy"],
            "low": result["test_interval"][0],
            "high": result["test_interval"][1],
            "log loss": result["test_log_loss"],
            "training images": result["n_train"],
            "seconds": result["seconds_before"] + result["train_seconds"],
        }
        for result in results
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
