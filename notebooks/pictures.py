"""Pictures of the ideas and of the mistakes, drawn from the numbers of a run.

Each function draws one picture of a notebook and returns its axes.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw
from scipy.signal import correlate2d
from sklearn.decomposition import PCA
from sklearn.metrics import ConfusionMatrixDisplay

import catdog_helpers as ch
from catdog_helpers.models import in_batches
from catdog_helpers.plots import legend_below
from catdog_helpers.saving import load_uncertainty
from catdog_helpers.uncertainty import distance, with_features

FROZEN, OPEN = "0.85", "#ffd08a"
EDGES = np.outer((1, 2, 1), (1, 0, -1))  # Sobel's weights, for upright edges


def plot_split(info):
    """01: the parts of a split; a bar is as wide as its share of the images."""
    uses = {
        "train": "training images\nlearn from them",
        "validation": "validation images\nchoose, and stop",
        "test": "test images\nmeasure, once",
    }
    ax, left = plt.subplots(figsize=(9, 2.2), layout="constrained")[1], 0
    for row, part in enumerate(uses):
        n = info[f"n_{part}"]
        bars = ax.barh(row, n, left=left, color=f"0.{6 + row}")
        ax.bar_label(bars, [f"{n:,}"], label_type="center")
        left += n
    ax.set_yticks(range(3), uses.values())
    ax.set_xlabel("images")
    ax.invert_yaxis()
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def plot_convolution(image):
    """02: an image in grey, a pattern, where it fits, and the pooled map."""
    grey = np.asarray(image, dtype=float).mean(axis=2)
    found = correlate2d(grey, EDGES, mode="valid").clip(0)
    side = len(found) // 4 * 4
    pooled = found[:side, :side].reshape(side // 4, 4, side // 4, 4)
    shown = {
        "image, in grey": grey,
        "pattern of 3 x 3 weights": EDGES,
        "convolution: where it fits": found,
        "pooling: the largest of 4 x 4": pooled.max(axis=(1, 3)),
    }
    axes = plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained")[1]
    for ax, (title, values) in zip(axes, shown.items(), strict=True):
        top = np.quantile(values, 0.99)  # a few bright places hide the rest
        ax.imshow(values, cmap="gray", vmax=top)
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    for (row, column), weight in np.ndenumerate(EDGES):
        color = "black" if weight > 0 else "white"
        axes[1].text(column, row, weight, color=color, ha="center")
    return axes


def plot_schedule(schedule, steps):
    """02: the learning rate over the steps, its highest value marked."""
    ax = plt.subplots(figsize=(6, 2.6), layout="constrained")[1]
    where = np.unique(np.linspace(0, steps, 200).astype(int))
    rates = np.array([float(schedule(int(step))) for step in where])
    ax.plot(where, rates, "-o", markevery=[rates.argmax()])
    top = f"highest: {rates.max():.2g} at step {where[rates.argmax()]:,}"
    ax.set_title(top, fontsize=9)
    ax.set(xlabel="step (one batch each)", ylabel="learning rate", ylim=0)
    ax.grid(alpha=0.3)
    return ax


def class_colors(n):
    """Return a colour for each of n classes, however many there are."""
    if n > 20:
        return plt.get_cmap("turbo")(np.linspace(0.03, 0.97, n))
    return plt.get_cmap("tab20" if n > 10 else "tab10").colors[:n]


def plot_features(features, labels, names, seed=0):
    """03: features in the two directions in which they differ most (PCA)."""
    ax = plt.subplots(figsize=(6.5, 4.5), layout="constrained")[1]
    plane = PCA(n_components=2, random_state=seed)
    places = plane.fit_transform(np.asarray(features, dtype="float32"))
    colors = class_colors(len(names))
    for number, (name, color) in enumerate(zip(names, colors, strict=True)):
        here = places[labels == number]
        ax.scatter(*here.T, s=8, alpha=0.6, label=name, color=color)
    ax.set(xlabel="first direction", ylabel="second direction")
    ax.figure.legend(loc="outside right upper", fontsize=8)
    return ax


def plot_network(model, image):
    """03, 04: the parts of a joined model; what is open is coloured."""
    ax = plt.subplots(figsize=(9, 2.6), layout="constrained")[1]
    ax.imshow(image, extent=(0.05, 0.85, 0.1, 0.9), aspect="auto")
    shape = None, *image.shape
    _name_part(ax, 0, "photograph", 1.1, shape)
    for i, layer in enumerate(model.layers, 1):
        color = OPEN if layer.trainable_weights else FROZEN
        box = plt.Rectangle((i + 0.05, 0.1), 0.8, 0.8, fc=color, ec="0.25")
        ax.add_patch(box)
        state = "open" if layer.trainable_weights else "frozen"
        state = state if layer.weights else ""
        name = layer.name.replace("pooling", "average")
        shape = layer.compute_output_shape(shape)
        _name_part(ax, i, f"{name}\n{state}".strip(), 0.5, shape)
        arrow = {"arrowstyle": "->"}
        ax.annotate("", (i + 0.05, 0.5), (i - 0.15, 0.5), arrowprops=arrow)
        if layer.name == "back":
            ax.axvline(i - 0.05, color="C3", ls="--", lw=1)
            ax.text(i - 0.05, 1.25, "cut", color="C3", ha="center")
    ax.set(xlim=(0, len(model.layers) + 1), ylim=(-0.2, 1.2))
    ax.axis("off")
    return ax


def _name_part(ax, i, text, y, shape):
    """Write a part's name, and below it what it gives for one image."""
    ax.text(i + 0.45, y, text, ha="center", va="center", fontsize=9)
    size = " x ".join(map(str, shape[1:]))
    ax.text(i + 0.45, -0.1, size, ha="center", fontsize=8)


def plot_confusion(truth, answers, names, most=20):
    """04: which class is taken for which; of many, those most mistaken."""
    mistakes = np.bincount(truth[answers != truth], minlength=len(names))
    shown = np.sort(np.argsort(-mistakes, kind="stable")[:most])
    side = 3.2 + 0.2 * len(shown)
    ax = plt.subplots(figsize=(side, side), layout="constrained")[1]
    ConfusionMatrixDisplay.from_predictions(
        truth,
        answers,
        labels=shown,
        display_labels=np.asarray(names)[shown],
        colorbar=False,
        cmap="Blues",
        xticks_rotation="vertical",
        ax=ax,
    )
    ax.set(xlabel="answer", ylabel="truth")
    return ax


def draw_odd(side):
    """05: pictures unlike any photograph, by name."""
    page = Image.new("RGB", (side, side), "white")
    for y in range(4, side, 14):
        text = "neither a cat nor a dog " * 2
        ImageDraw.Draw(page).text((4, y), text, fill=0)
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3))
    return {
        "noise": Image.fromarray(noise.astype("uint8")),
        "flat colour": Image.new("RGB", (side, side), (40, 120, 90)),
        "text": page,
    }


def darken(run, folder, most=100):
    """05: write some test photographs darkened, one folder for each class.

    JPEG files are compressed as they were, so that only the light differs.
    """
    some = run.test[:: -(-len(run.test) // most)]
    for row in run.manifest.loc[some].itertuples():
        target = folder / run.class_names[row.label] / Path(row.path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(Path(run.info["folder"], row.path)) as image:
            kept = {"format": "PNG"}
            if image.format == "JPEG":
                kept = {"format": "JPEG", "qtables": image.quantization}
            dark = image.convert("RGB").point(lambda value: 0.6 * value)
            dark.save(target, **kept)
    return folder


def plot_distances(model_path, good, odd):
    """05: how far good images and odd ones lie off the training images' plane.

    Across is each picture's place in the direction in which the good ones
    differ most; upwards its distance from the plane, seen from its edge.
    """
    model, card = ch.load_model(model_path)
    known = load_uncertainty(model_path, card)
    run = with_features(model).predict_on_batch
    others = np.stack([np.asarray(picture) for picture in odd.values()])
    features = [in_batches(run, pictures)[0] for pictures in (good, others)]
    inside = [x @ known["components"].T.astype("float32") for x in features]
    line = PCA(n_components=1).fit(inside[0])
    (x, odd_x), (y, odd_y) = (
        [line.transform(part)[:, 0] for part in inside],
        [distance(part, known) for part in features],
    )
    ax = plt.subplots(figsize=(7, 4), layout="constrained")[1]
    ax.axhline(0, color="black", label="the plane itself")
    ax.scatter(x, y, s=8, alpha=0.5, label="validation images")
    ax.scatter(odd_x, odd_y, color="C3", marker="X", label="odd pictures")
    for name, *place in zip(odd, odd_x, odd_y, strict=True):
        ax.annotate(name, place, (6, 4), textcoords="offset points")
    limit = float(known["threshold"])
    ax.axhline(limit, color="C3", ls="--", label="above it: “not sure”")
    ax.set(xlabel="place in the plane", ylabel="distance (limit: about 1)")
    ax.margins(0.15, 0.1)
    legend_below(ax)
    return ax


def plot_heat_maps(images, maps, titles=None):
    """05, 09: images, each under its heat map unless that is None."""
    axes = ch.plot_images(images, titles, columns=6)
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


def plot_mistakes(probabilities, run, rows):
    """05: these test images, with answer, probability and label."""
    names, truth = run.class_names, run.labels[run.test]
    titles = [
        f"{names[p.argmax()]} {p.max():.2f}\n(label: {names[label]})"
        for p, label in zip(probabilities[rows], truth[rows], strict=True)
    ]
    return ch.plot_images(run.images[run.test[rows]], titles)


def plot_reasons(model_path, probabilities, run, rows):
    """05: where a model looked, and the four nearest training images."""
    if not len(rows):
        return None
    model, _ = ch.load_model(model_path)
    used = np.sort(np.concatenate([run.train, run.validation, run.test]))
    features = ch.study.pooled_features(model, run.images, used)
    answers, names = probabilities[rows].argmax(axis=1), run.class_names
    rows = run.test[rows]
    heats = ch.study.heat_map(model, run.images[rows])
    pictures, maps, titles = [], [], []
    for row, answer, heat in zip(rows, answers, heats, strict=True):
        near = ch.study.nearest_images(features, [row], run.train, n=4)[0]
        near = np.resize(near, 4)  # again the first, if there are fewer
        pictures += [run.images[i] for i in (row, row, *near)]
        maps += [None, heat, None, None, None, None]
        titles += [f"label: {names[run.labels[row]]}", f"heat: {names[answer]}"]
        titles += [f"near: {names[run.labels[i]]}" for i in near]
    return plot_heat_maps(pictures, maps, titles)


def plot_mcnemar(first, second, names):
    """06: McNemar's table; the darker boxes tell two methods apart."""
    both = [first & second, first & ~second]
    neither = [~first & second, ~first & ~second]
    counts = np.sum([both, neither], axis=2)
    ax = plt.subplots(figsize=(4.2, 3), layout="constrained")[1]
    colors = [[0.1, 0.5], [0.5, 0.1]]
    ax.pcolormesh(colors, cmap="Blues", vmin=0, vmax=1, ec="w", lw=3)
    for (row, column), n in np.ndenumerate(counts):
        ax.text(column + 0.5, row + 0.5, f"{n:,}", ha="center", va="center")
    words = "right", "wrong"
    ax.set_xticks((0.5, 1.5), [f"{names[1]}\n{word}" for word in words])
    ax.set_yticks((0.5, 1.5), [f"{names[0]}\n{word}" for word in words])
    ax.xaxis.tick_top()
    ax.invert_yaxis()
    return ax
