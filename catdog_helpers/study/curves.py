"""How much data a method needs: nested subsets, and curves side by side."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

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

    A series of measurements that was interrupted so goes on where it was.

    Args:
        path: A file with one JSON object a line; made if need be.
        settings: All that the measurement depends on, as JSON knows it.
        measure: Called without arguments; gives what was measured.

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


def images_to_reach(
    sizes: Sequence[int], accuracies: Sequence[float], target: float
) -> float:
    """Read off a curve how many training images an accuracy takes.

    Between two sizes the curve is a straight line over the logarithm of the
    size.

    Args:
        sizes: Numbers of training images, rising.
        accuracies: Test accuracy at each of them.
        target: The accuracy to reach.

    Returns:
        Number of images at which the curve first reaches it. The smallest
        size if it is above from the start, infinity if it never gets there.
    """
    reached = np.flatnonzero(np.asarray(accuracies) >= target)
    if not len(reached):
        return float("inf")
    i = reached[0]
    if i == 0:
        return float(sizes[0])
    two = slice(i - 1, i + 1)
    return np.exp(np.interp(target, accuracies[two], np.log(sizes[two])))


def images_to_match(
    curves: pd.DataFrame, needy: str, frugal: str
) -> pd.DataFrame:
    """Tell how many images one method needs to match another.

    Only trainings of one recipe make a curve: what was trained longer (its
    `longer` is true) only bounds what the curve leaves open.

    Args:
        curves: One row per training: `method`, `training images`, `seed`,
            `test accuracy`, `longer`. Accuracies of several seeds are
            averaged.
        needy: The method that has to match.
        frugal: The method that sets the mark.

    Returns:
        One row per size of the frugal one's `training images`: its `test
        accuracy`, the needy one's `images to match` (infinite: more than it
        was given), `times` as many, and a `sentence` that says so.

    Raises:
        ValueError: If there is no such method.
    """
    if not {needy, frugal} <= set(curves["method"]):
        raise ValueError(
            f"methods must be among {sorted(set(curves['method']))}. Received: "
            f"{needy!r}, {frugal!r}"
        )
    keys, longer = ["method", "training images"], curves["longer"]
    mean = curves[~longer].groupby(keys)["test accuracy"].mean()
    most = curves[longer & (curves["method"] == needy)]
    table = mean[frugal].to_frame()
    rows = [_match(*point, mean[needy], most) for point in mean[frugal].items()]
    table["images to match"], ends = zip(*rows, strict=True)
    table["times"] = table["images to match"] / table.index
    table["sentence"] = [
        f"With {n:,} training images, {frugal} reaches {reached:.3f}; {needy} "
        f"{end}."
        for (n, reached), end in zip(mean[frugal].items(), ends, strict=True)
    ]
    return table


def _match(n: int, target: float, curve, most) -> tuple[float, str]:
    sizes, accuracies = curve.index.to_numpy(), curve.to_numpy()
    needed, bound = images_to_reach(sizes, accuracies, target), "about"
    if np.isinf(needed):
        enough = most[most["test accuracy"] >= target]["training images"]
        needed, bound = enough.min() if len(enough) else needed, "at most"
    if needed <= n:
        return needed, "is as good with no more"
    times = needed / n
    if np.isinf(needed):
        bound, times = "more than", max([*sizes, *most["training images"]]) / n
        if times <= 1:
            return needed, "stays below that with as many"
    many = f"{bound} {times:,.{0 if times >= 9.95 else 1}f} times"
    return needed, f"needs {many} the images to match"


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
    for name, rows in lines:
        color = colors[name]
        stars, rows = rows[rows["longer"]], rows[~rows["longer"]]
        ax.plot(*stars[columns].to_numpy().T, "*", color=color, ms=11)
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
    title = "dots: each seed, line: mean; stars: the notebooks' own models"
    ax.set_title(title, fontsize=9)
    legend_below(ax)
    return ax
