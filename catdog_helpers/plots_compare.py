"""Plots that compare methods. Each draws on axes and returns them."""

import matplotlib.pyplot as plt
import pandas as pd


def plot_scoreboard(
    scores: pd.DataFrame,
    *,
    start: float | None = None,
    ax: plt.Axes | None = None,
) -> plt.Axes:
    """Draw the test accuracies as points with their 95 % intervals.

    Args:
        scores: What `scoreboard` returned.
        start: Accuracy at which the axis begins, to tell good methods apart;
            those below it are written at its edge. Defaults to just below
            the lowest whisker.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes, the first method on top.
    """
    size = (7, 1.2 + 0.36 * len(scores))
    ax = ax or plt.subplots(figsize=size, layout="constrained")[1]
    left = scores.low.min() - 0.02 if start is None else start
    left, right = max(0.0, left), 1 + 0.1 * (1 - max(0.0, left))
    for y, row in enumerate(scores.itertuples(index=False, name=None)):
        accuracy, low, high = row[:3]
        ends = [[accuracy - low], [high - accuracy]]
        ax.errorbar(accuracy, y, xerr=ends, fmt="o", capsize=4, color=f"C{y}")
        seen = accuracy >= left
        where = {"xy": (accuracy if seen else left, y), "fontsize": 8}
        text = f"{accuracy:.3f}" if seen else f" ◂ {accuracy:.3f}"
        where |= {"xytext": (0, 5), "textcoords": "offset points"}
        ax.annotate(text, ha="center" if seen else "left", **where)
    ax.set_yticks(range(len(scores)), scores.index)
    ax.set(xlim=(left, right), ylim=(len(scores) - 0.4, -0.7))
    cut = " (the axis does not start at 0)" if left > 0 else ""
    ax.set_xlabel(f"test accuracy{cut}")
    ax.grid(axis="x", alpha=0.3)
    ax.set_title("points: test accuracy, whiskers: 95 % interval", fontsize=9)
    return ax


def plot_data_size(
    curves: pd.DataFrame, *, ax: plt.Axes | None = None
) -> plt.Axes:
    """Draw test accuracy against the number of training images.

    Args:
        curves: One row per training: `method`, `training images`, `seed`,
            `test accuracy`.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes: a dot for every training, a line through the means, a band
        from the lowest to the highest seed.
    """
    ax = ax or plt.subplots(layout="constrained")[1]
    groups = curves.groupby("method", sort=False)
    for number, (name, rows) in enumerate(groups):
        color = f"C{number}"
        seeds = rows.groupby("training images")["test accuracy"]
        mean = seeds.mean()
        ax.plot(mean.index, mean, color=color, label=name)
        ax.fill_between(
            mean.index, seeds.min(), seeds.max(), color=color, alpha=0.2, lw=0
        )
        dots = rows["training images"], rows["test accuracy"]
        ax.scatter(*dots, color=color, s=12, zorder=3)
    sizes = sorted(curves["training images"].unique())
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{n:,}" for n in sizes], rotation=45)
    ax.minorticks_off()
    ax.set(xlabel="training images (each step multiplies)")
    ax.set_ylabel("test accuracy")
    ax.grid(alpha=0.3)
    n_seeds = curves.groupby(["method", "training images"]).size().max()
    title = f"dots: up to {n_seeds} seeds, line: mean, band: lowest to highest"
    ax.set_title(title, fontsize=9)
    ax.legend(fontsize=8)
    return ax
