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
    start = max(0, scores.low.min() - 0.02 if start is None else start)
    columns = scores[["test accuracy", "low", "high"]].to_numpy()
    for y, (accuracy, low, high) in enumerate(columns):
        ends = [[accuracy - low], [high - accuracy]]
        ax.errorbar(accuracy, y, xerr=ends, fmt="o", capsize=4, color=f"C{y}")
        text = f"{accuracy:.3f}" if accuracy >= start else f" ◂ {accuracy:.3f}"
        align = {"ha": "center" if accuracy >= start else "left"}
        where = (max(accuracy, start), y - 0.2)
        ax.text(*where, text, fontsize=8, va="bottom", **align)
    ax.set_yticks(range(len(scores)), scores.index)
    ax.set(xlim=(start, 1.1 - 0.1 * start), ylim=(len(scores) - 0.4, -0.8))
    note = " (the axis does not start at 0)" if start > 0 else ""
    ax.set_xlabel(f"test accuracy{note}")
    ax.grid(axis="x", alpha=0.3)
    ax.set_title("points: test accuracy, whiskers: 95 % interval", fontsize=9)
    return ax


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
    for number, (name, rows) in enumerate(lines):
        color = f"C{number}"
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
    ax.legend(fontsize=8)
    return ax
