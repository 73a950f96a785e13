"""Pictures of the ideas, drawn from the numbers of a run."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import correlate2d

from catdog_helpers.models import in_batches
from catdog_helpers.plots import legend_below
from catdog_helpers.saving import load_model, load_uncertainty
from catdog_helpers.uncertainty import distance, with_features

FROZEN, OPEN, INK = "0.85", "#ffd08a", "0.25"
_CENTRE = {"ha": "center", "va": "center", "fontsize": 9}
EDGES = ((1, 0, -1), (2, 0, -2), (1, 0, -1))  # Sobel's, of upright edges
USES = {
    "train": ("training images", "learn from them", "02  03  04"),
    "validation": ("validation images", "choose, and stop", "02  03  04  05"),
    "test": (
        "test images",
        "measure, once",
        "02  03  04; 05 looks at mistakes",
    ),
}


def plot_network(
    model, image: np.ndarray | None = None, *, ax: plt.Axes | None = None
) -> plt.Axes:
    """Draw a joined model: photograph, front, back, average, head.

    Args:
        model: What `join` returned from a front, a back and a head. Parts
            that are frozen are grey; open ones are coloured.
        image: Photograph to show at the left.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes.
    """
    ax = ax or _empty((9, 3.2))
    ax.set(xlim=(-0.1, 5), ylim=(-0.45, 1.35))
    if image is not None:
        ax.imshow(image, extent=(0.05, 0.85, 0.1, 0.9), aspect="auto")
    ax.text(0.45, 1.1, "photograph", **_CENTRE)
    shape = model.input_shape if image is None else (None, *image.shape)
    _size(ax, 0.45, shape)
    for i, layer in enumerate(model.layers, 1):
        opened = bool(layer.trainable_weights)
        height = 0.8 if i < len(model.layers) - 1 else 0.4
        color = OPEN if opened else FROZEN
        box = (i + 0.05, 0.5 - height / 2), 0.8, height
        ax.add_patch(plt.Rectangle(*box, facecolor=color, edgecolor=INK))
        name = layer.name.replace("pooling", "average")
        state = "open" if opened else "frozen" if layer.weights else ""
        ax.text(i + 0.45, 0.5, f"{name}\n{state}".strip(), **_CENTRE)
        shape = layer.compute_output_shape(shape)
        _size(ax, i + 0.45, shape)
        _arrow(ax, (i - 0.15, 0.5), (i + 0.05, 0.5))
        if layer.name == "back":
            ax.axvline(i - 0.05, 0.2, 0.85, color="C3", ls="--", lw=1)
            ax.text(i - 0.05, 1.2, "cut", **_CENTRE | {"color": "C3"})
    return ax


def plot_convolution(
    image: np.ndarray, *, ax: plt.Axes | None = None
) -> plt.Axes:
    """Draw what a convolution and a pooling make of an image.

    Args:
        image: RGB, shape `(side, side, 3)`.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes: image in grey, pattern, map of where it fits, smaller map.
    """
    ax = ax or _empty((9, 2.8))
    grey = np.asarray(image, dtype=float).mean(axis=2)
    found = correlate2d(grey, EDGES, mode="valid").clip(0)
    side = len(found) // 4 * 4
    pooled = found[:side, :side].reshape(side // 4, 4, side // 4, 4)
    pooled = pooled.max(axis=(1, 3))
    shown = {
        "image, in grey": (grey, 0, 1),
        "pattern of 3 x 3 weights": (np.asarray(EDGES), 1.4, 0.5),
        "convolution: where it fits": (found, 2.3, 1),
        "pooling: the largest of 4 x 4": (pooled, 3.7, 0.5),
    }
    for title, (values, left, size) in shown.items():
        low = 0.5 - size / 2
        extent = (left, left + size, low, low + size)
        top = np.quantile(values, 0.99)  # a few bright places hide the rest
        ax.imshow(values, cmap="gray", vmax=top, extent=extent)
        ax.text(left + size / 2, 1.12, title, **_CENTRE)
    for (i, j), weight in np.ndenumerate(EDGES):
        color = "black" if weight > 0 else "white"
        where = 1.4 + (j + 0.5) / 6, 0.75 - (i + 0.5) / 6
        ax.text(*where, f"{weight:g}", **_CENTRE | {"color": color})
    for start, end in ((1.05, 1.35), (1.95, 2.25), (3.35, 3.65)):
        _arrow(ax, (start, 0.5), (end, 0.5))
    ax.set(xlim=(-0.05, 4.3), ylim=(-0.1, 1.3), aspect="equal")
    return ax


def plot_split(info: dict, *, ax: plt.Axes | None = None) -> plt.Axes:
    """Draw the parts of a split, and which notebook opens which.

    Args:
        info: What `save_split` returned.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes: the width of each bar is its number of images.
    """
    ax = ax or _empty((9, 2.2))
    counts = [info[f"n_{name}"] for name in USES]
    total = sum(counts)
    for row, (name, n) in enumerate(zip(USES, counts, strict=True)):
        title, purpose, notebooks = USES[name]
        left = sum(counts[:row]) / total
        ax.barh(-row, n / total, left=left, color=f"0.{3 + 2 * row}")
        ax.text(-0.02, -row, f"{n:,} {title}", **_CENTRE | {"ha": "right"})
        text = f"{purpose}\nnotebooks {notebooks}"
        ax.text(1.03, -row, text, **_CENTRE | {"ha": "left"})
    ax.set(xlim=(-0.4, 1.75), ylim=(-2.6, 0.6))
    return ax


def plot_distances(
    model_path: str | Path,
    good: np.ndarray,
    odd: dict,
    *,
    ax: plt.Axes | None = None,
) -> plt.Axes:
    """Draw how far pictures lie off the plane of the training images.

    Args:
        model_path: A model that `save_result` wrote.
        good: Images like the training images, `(n, side, side, 3)`.
        odd: Name to picture: others, of that size.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes: across, each picture's place in the direction in which the
        good ones differ most; upwards, its `distance`. The plane of the
        training images is the line at 0, seen from its edge.
    """
    ax = ax or plt.subplots(figsize=(7, 4), layout="constrained")[1]
    model, card = load_model(model_path)
    known = load_uncertainty(model_path, card)
    run = with_features(model).predict_on_batch
    others = np.stack([np.asarray(picture) for picture in odd.values()])
    features = [in_batches(run, pictures)[0] for pictures in (good, others)]
    inside = [x @ known["components"].T.astype("float32") for x in features]
    centre = inside[0].mean(axis=0)
    widest = np.linalg.svd(inside[0] - centre, full_matrices=False)[2][0]
    x = [(part - centre) @ widest for part in inside]
    y = [distance(part, known) for part in features]
    ax.axhline(0, color="black", label="plane of the training images")
    ax.scatter(x[0], y[0], s=8, alpha=0.5, label="validation images")
    ax.scatter(x[1], y[1], s=40, color="C3", marker="X", label="odd pictures")
    for name, *place in zip(odd, x[1], y[1], strict=True):
        ax.annotate(name, place, (6, 4), textcoords="offset points")
    limit = float(known["threshold"])
    ax.axhline(limit, color="C3", ls="--", label="above it: “not sure”")
    ax.set(xlabel="place in the plane", ylabel="distance from the plane")
    ax.margins(0.15, 0.1)
    legend_below(ax)
    return ax


def plot_schedule(
    schedule, steps: int, *, ax: plt.Axes | None = None
) -> plt.Axes:
    """Draw the learning rate over the steps of a training.

    Args:
        schedule: A `keras.optimizers.schedules.LearningRateSchedule`.
        steps: How many steps there are.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes, with the highest rate marked.
    """
    ax = ax or plt.subplots(figsize=(6, 2.6), layout="constrained")[1]
    where = np.unique(np.linspace(0, steps, 200).astype(int))
    rates = np.array([float(schedule(int(step))) for step in where])
    ax.plot(where, rates)
    top = rates.argmax()
    ax.plot(where[top], rates[top], "o", color="C0")
    text = f"{rates[top]:.2g} at step {where[top]:,}"
    ax.text(where[top], 1.05 * rates[top], text, fontsize=9)
    ax.set(xlabel="step (one batch each)", ylabel="learning rate")
    ax.set_ylim(0, 1.15 * rates[top])
    ax.grid(alpha=0.3)
    return ax


def plot_mcnemar(
    first: np.ndarray,
    second: np.ndarray,
    names: tuple[str, str],
    *,
    ax: plt.Axes | None = None,
) -> plt.Axes:
    """Draw McNemar's table: which of two methods is right on which images.

    Args:
        first: Shape `(n,)`, boolean: which images the first one gets right.
        second: Likewise, of the same images in the same order.
        names: Of the two methods.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes. Only the two coloured boxes tell the methods apart.
    """
    ax = ax or _empty((4.8, 3.2))
    colors = {(1, 0): "#b7d7f0", (0, 1): "#ffd08a"}
    for a, b in ((1, 1), (1, 0), (0, 1), (0, 0)):
        n = int(((first == a) & (second == b)).sum())
        color = colors.get((a, b), FROZEN)
        box = plt.Rectangle((1 - b, a), 1, 1, facecolor=color, edgecolor="w")
        ax.add_patch(box)
        ax.text(1.5 - b, a + 0.5, f"{n:,}", **_CENTRE | {"fontsize": 14})
    for i, word in enumerate(("right", "wrong")):
        ax.text(i + 0.5, 2.25, f"{names[1]}\n{word}", **_CENTRE)
        ax.text(-0.45, 1.5 - i, f"{names[0]}\n{word}", **_CENTRE)
    ax.set(xlim=(-0.9, 2.05), ylim=(-0.05, 2.6))
    return ax


def _empty(size: tuple[float, float]) -> plt.Axes:
    """Return new axes without a frame."""
    ax = plt.subplots(figsize=size, layout="constrained")[1]
    ax.axis("off")
    return ax


def _arrow(ax, start, end) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": INK})


def _size(ax, x: float, shape: tuple) -> None:
    """Write below a part what it gives for one image."""
    text = " x ".join(str(n) for n in shape[1:])
    ax.text(x, -0.12, text, **_CENTRE | {"fontsize": 8, "va": "top"})
