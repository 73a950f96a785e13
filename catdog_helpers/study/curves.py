"""How much data a method needs: nested subsets, and what curves show."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from catdog_helpers.evaluation import wilson_interval
from catdog_helpers.machine.files import write_text
from catdog_helpers.plots import legend_below, method_colors


def subsets(
    labels: np.ndarray, rows: np.ndarray, sizes: Iterable[int], *, seed: int = 0
) -> dict[int, np.ndarray]:
    """Draw training sets of several sizes, each within the next larger one.

    Stratified: each holds the classes in the proportion of `rows`, and at
    least one image of every class.

    Args:
        labels: Shape `(n,)`, the class number of every image.
        rows: Rows to draw from: the training images.
        sizes: Numbers of images over all classes.
        seed: Another number draws others.

    Returns:
        Size to rows, in rising order.

    Raises:
        ValueError: If a size is too large, or smaller than the number of
            classes.
    """
    sizes = sorted(set(sizes))
    n_classes = len(np.unique(np.asarray(labels)[rows]))
    if not sizes or sizes[0] < n_classes or sizes[-1] > len(rows):
        raise ValueError(
            f"`sizes` must lie between {n_classes}, the number of classes, and "
            f"{len(rows):,}, the number of images. Received: {sizes}"
        )
    order = in_proportion(np.random.default_rng(seed).permutation(rows), labels)
    return {size: np.sort(order[:size]) for size in sizes}


def in_proportion(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Order rows so that the first n hold the classes in their proportion.

    Args:
        rows: Row numbers; those of one class stay in their order.
        labels: Shape `(n,)`, the class number of every row.

    Returns:
        The same rows: the first of each class, then the others at even
        distances.
    """
    groups = pd.Series(rows).groupby(np.asarray(labels)[rows])
    rank = groups.cumcount()
    place = ((rank + 0.5) / groups.transform("size")).where(rank > 0, 0)
    return rows[np.argsort(place.to_numpy(), kind="stable")]


def measure_once(
    path: str | Path, settings: dict, measure: Callable[[], dict]
) -> dict:
    """Measure, or read what was measured before with the same settings.

    A series of measurements that was interrupted thus goes on where it was.

    Args:
        path: A file with one JSON object a line; created if it is missing.
        settings: All that the measurement depends on, in JSON's types.
        measure: Called without arguments; returns what was measured.

    Returns:
        The settings and what was measured.
    """
    path = Path(path)
    lines = path.read_text("utf-8").split("\n") if path.is_file() else []
    for line in lines[:-1]:  # a line cut short by a kill is the last
        row = json.loads(line)
        if settings.items() <= row.items():
            return row
    row = settings | measure()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "\n".join([*lines[:-1], json.dumps(row), ""]))
    return row


def sum_up_curves(
    curves: pd.DataFrame,
    needy: str,
    frugal: str,
    *,
    chance: float,
    n_test: int,
) -> str:
    """Say in one sentence what curves over the number of images show.

    Args:
        curves: One row per training: `method`, `training images`, `test
            accuracy`, and `longer`: whether it had more training than the
            others of its method, with which it is then not averaged.
        needy: The method that has to match, such as "scratch CNN".
        frugal: The method that sets the mark.
        chance: Accuracy of always answering the largest class.
        n_test: Number of test images.

    Returns:
        The smallest number of images with which the frugal method, with
        every seed, is above the 95 % interval of the best that the needy one
        reached with any; or that it never is; or that the needy one did no
        better than guessing, from which nothing follows.
    """
    columns = ["method", "longer", "training images"]
    found = curves.groupby(columns)["test accuracy"].agg(
        ["mean", "std", "size", "min"]
    )
    best = found["mean"][needy].max()
    most = found["mean"][needy].idxmax()[-1]
    if best < chance + 2 * (chance * (1 - chance) / n_test) ** 0.5:
        return (
            f"{needy} did not do better than guessing ({best:.3f}) with any "
            "number of images, so no comparison can be made with it."
        )
    alike = found.loc[frugal, False]
    _, high = wilson_interval(round(best * n_test), n_test)
    enough = alike[alike["min"] > high]
    if enough.empty:
        return (
            f"With no number of images was {frugal} clearly better than "
            f"{needy} with {most:,} ({best:.3f})."
        )
    n, first = enough.index[0], enough.iloc[0]
    spread = f" ± {first['std']:.3f}" if first["size"] > 1 else ""
    seeds = f"{first['size']:.0f} seed{'s' if first['size'] > 1 else ''}"
    return (
        f"{n:,} training images with {frugal} ({first['mean']:.3f}{spread}, "
        f"{seeds}) beat {most:,} with {needy} ({best:.3f})."
    )


def plot_data_size(
    curves: pd.DataFrame, *, ax: plt.Axes | None = None
) -> plt.Axes:
    """Draw test accuracy against the number of training images.

    Args:
        curves: One row per training: `method`, `training images`, `seed`,
            `test accuracy`, `longer`.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes: a dot for every training, a line through the means, a band
        from the lowest to the highest seed; a star where `longer` is true,
        off the line, since it was trained otherwise.
    """
    ax = ax or plt.subplots(layout="constrained")[1]
    columns = ["training images", "test accuracy"]
    lines = curves.groupby("method", sort=False)
    colors = method_colors(curves["method"])
    for number, (name, rows) in enumerate(lines):
        color, size = colors[name], 17 - 4 * number  # none hides another
        stars, rows = rows[rows["longer"]], rows[~rows["longer"]]
        ax.plot(*stars[columns].to_numpy().T, "*", color=color, ms=size)
        seeds = rows.groupby("training images")["test accuracy"]
        band = seeds.agg(["min", "max", "mean"])
        ax.plot(band.index, band["mean"], color=color, label=name)
        style = {"color": color, "alpha": 0.2, "lw": 0}
        ax.fill_between(band.index, band["min"], band["max"], **style)
        ax.plot(*rows[columns].to_numpy().T, "o", color=color, ms=4)
    sizes = sorted(curves["training images"].unique())
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{n:,}" for n in sizes], rotation=45)
    ax.minorticks_off()
    ax.set(xlabel="training images (log axis)", ylabel="test accuracy")
    ax.grid(alpha=0.3)
    title = "dots: seeds, line: mean, band: lowest to highest; stars: notebooks"
    ax.set_title(title, fontsize=9)
    legend_below(ax)
    return ax
