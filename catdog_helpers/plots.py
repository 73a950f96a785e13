"""Plots of the notebooks. Each draws on axes and returns them."""

import textwrap
import warnings
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import LogLocator, NullFormatter

from catdog_helpers.results import METHODS

# By the names that `display_name` gives: a method looks alike everywhere.
METHOD_COLORS = {
    name: f"C{number}" for number, (name, _) in enumerate(METHODS.values())
}


def method_colors(names: Iterable[str]) -> dict[str, str]:
    """Choose the colour of each method.

    Args:
        names: Names of methods as plots show them.

    Returns:
        Name to colour: those of `METHOD_COLORS`; other names get the colours
        that are left, in their order.
    """
    others = dict.fromkeys(name for name in names if name not in METHOD_COLORS)
    return METHOD_COLORS | {
        name: f"C{3 + number % 7}" for number, name in enumerate(others)
    }


def legend_below(ax: plt.Axes, title: str | None = None) -> None:
    """Give the figure one legend, below all of its axes and over no curve.

    Args:
        ax: Axes whose labelled artists are added to the figure's legend.
        title: Title of the legend.
    """
    figure = ax.figure
    for legend in list(figure.legends):
        title = title or legend.get_title().get_text()
        legend.remove()
    entries = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(
        entries.values(),
        entries.keys(),
        title=title,
        loc="outside lower center",
        ncols=4,
        fontsize=8,
        title_fontsize=8,
    )


def plot_images(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    *,
    columns: int = 6,
    colors: Sequence[str] | None = None,
    cmap: str | None = None,
) -> np.ndarray:
    """Show pictures in a grid.

    Args:
        images: Arrays of shape `(height, width, 3)`, `uint8`, or
            `(height, width)` with a colour map.
        titles: One for each picture; long ones are wrapped.
        columns: Pictures a row.
        colors: Colour of each title.
        cmap: Colour map of one-channel pictures.

    Returns:
        The axes, shape `(rows, columns)`.
    """
    rows = max(1, -(-len(images) // columns))
    titles = [_wrap(title) for title in titles or []]
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    _, axes = plt.subplots(
        rows,
        columns,
        figsize=(1.7 * columns, (1.7 + 0.15 * lines) * rows),
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat:
        ax.axis("off")
    for i, image in enumerate(images):
        axes.flat[i].imshow(image, cmap=cmap)
        if titles:
            color = "black" if colors is None else colors[i]
            axes.flat[i].set_title(titles[i], fontsize=8, color=color)
    return axes


def _wrap(title: str, width: int = 24) -> str:
    """Break the lines of a title that are wider than a picture."""
    return "\n".join(textwrap.fill(line, width) for line in title.splitlines())


def plot_history(
    histories: dict[str, dict],
    metric: str = "accuracy",
    *,
    x: str = "epoch",
    ax: plt.Axes | None = None,
) -> plt.Axes:
    """Plot training curves: dashed on training, solid on validation images.

    Args:
        histories: Name to `History.history`; a method has its own colour.
        metric: "accuracy" or "loss".
        x: "epoch", or "seconds" if the histories hold them.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes. Below all axes of the figure stands one legend.

    Raises:
        ValueError: If a history does not hold what is asked for.
    """
    ax = ax or plt.subplots(layout="constrained")[1]
    colors = method_colors(histories)
    for name, history in histories.items():
        if not {metric, f"val_{metric}", x} <= {"epoch", *history}:
            raise ValueError(
                f"`metric` and `x` must be among {sorted(history)}. Received: "
                f"metric={metric!r}, x={x!r}"
            )
        where = history.get(x, np.arange(1, len(history[metric]) + 1))
        color = colors[name]
        ax.plot(where, history[f"val_{metric}"], color=color, label=name)
        ax.plot(where, history[metric], color=color, ls="--", alpha=0.6, lw=1)
    ax.set(xlabel=x, ylabel=metric)
    if x == "epoch":
        ax.xaxis.get_major_locator().set_params(integer=True)
    else:  # or the slowest method leaves the others no room
        ax.set(xscale="log", xlabel=f"{x} (log axis)")
        _label_log(ax.xaxis)
    if metric == "loss":  # or all that is small lies on the lower edge
        ax.set(yscale="log", ylabel="loss (log axis)")
        _label_log(ax.yaxis)
    ax.grid(alpha=0.3)
    legend_below(ax, "solid: validation images, dashed: training images")
    return ax


def _label_log(axis) -> None:
    """Label a logarithmic axis with plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def use_fonts(texts: Iterable[str]) -> None:
    """Let plots show letters of any script that a font on this machine has.

    Letters that no font has are drawn as boxes, without a warning for each.

    Args:
        texts: What is to be shown, such as class names.
    """
    warnings.filterwarnings("ignore", "Glyph .* missing from")
    usual = plt.rcParamsDefault["font.sans-serif"][0]
    missing, families = set(map(ord, "".join(texts))), [usual]
    for font in sorted(fontManager.ttflist, key=lambda f: f.name != usual):
        covered = missing & FT2Font(font.fname).get_charmap().keys()
        if covered and not font.name.startswith("Last Resort"):
            families.append(font.name)
            missing -= covered
    plt.rcParams["font.family"] = list(dict.fromkeys(families))
    plt.rcParams["text.parse_math"] = False  # `$` is a sign like others


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
    colors = method_colors(scores.index)
    columns = scores[["test accuracy", "low", "high"]].itertuples()
    for y, (name, accuracy, low, high) in enumerate(columns):
        ends = [[accuracy - low], [high - accuracy]]
        color = colors[name]
        ax.errorbar(accuracy, y, xerr=ends, fmt="o", capsize=4, color=color)
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
