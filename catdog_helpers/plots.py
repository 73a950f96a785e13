"""Plots of the notebooks. Each draws on axes and returns them."""

import warnings
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
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
