"""Plots of the notebooks. Each draws on axes and returns them."""

import warnings
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font


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
        titles: One for each picture.
        columns: Pictures a row.
        colors: Colour of each title.
        cmap: Colour map of one-channel pictures.

    Returns:
        The axes, shape `(rows, columns)`.
    """
    rows = max(1, -(-len(images) // columns))
    _, axes = plt.subplots(
        rows,
        columns,
        figsize=(1.7 * columns, (2.0 if titles is not None else 1.7) * rows),
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat:
        ax.axis("off")
    for i, image in enumerate(images):
        axes.flat[i].imshow(image, cmap=cmap)
        if titles is not None:
            color = "black" if colors is None else colors[i]
            axes.flat[i].set_title(titles[i], fontsize=8, color=color)
    return axes


def plot_heat_maps(
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray | None],
    titles: Sequence[str] | None = None,
    *,
    columns: int = 6,
    colors: Sequence[str] | None = None,
) -> np.ndarray:
    """Show pictures in a grid, each under its heat map.

    Args:
        images: As for `plot_images`.
        maps: One for each picture, what `heat_map` returned; `None` leaves a
            picture as it is.
        titles: One for each picture.
        columns: Pictures a row.
        colors: Colour of each title.

    Returns:
        The axes, shape `(rows, columns)`.
    """
    axes = plot_images(images, titles, columns=columns, colors=colors)
    for ax, image, heat in zip(axes.flat, images, maps, strict=False):
        if heat is not None:
            height, width = image.shape[:2]
            ax.imshow(
                heat,
                cmap="inferno",
                vmin=0,
                vmax=1,
                alpha=0.65 * heat,  # clear where it is cold
                interpolation="bicubic",
                extent=(-0.5, width - 0.5, height - 0.5, -0.5),
            )
    return axes


def plot_history(
    histories: dict[str, dict],
    metric: str = "accuracy",
    *,
    x: str = "epoch",
    ax: plt.Axes | None = None,
) -> plt.Axes:
    """Plot training curves: dashed on training, solid on validation images.

    Args:
        histories: Name to `History.history`; one colour for each.
        metric: "accuracy" or "loss".
        x: "epoch", or "seconds" if the histories hold them.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes.

    Raises:
        ValueError: If a history does not hold what is asked for.
    """
    ax = ax or plt.subplots(layout="constrained")[1]
    for number, (name, history) in enumerate(histories.items()):
        if not {metric, f"val_{metric}", x} <= {"epoch", *history}:
            raise ValueError(
                f"`metric` and `x` must be among {sorted(history)}. Received: "
                f"metric={metric!r}, x={x!r}"
            )
        where = history.get(x, np.arange(1, len(history[metric]) + 1))
        color = f"C{number}"
        ax.plot(where, history[f"val_{metric}"], color=color, label=name)
        ax.plot(where, history[metric], color=color, ls="--", alpha=0.6, lw=1)
    ax.set(xlabel=x, ylabel=metric)
    if x == "epoch":
        ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    title = "solid: validation, dashed: training"
    ax.legend(title=title, fontsize=8, title_fontsize=8)
    return ax


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
