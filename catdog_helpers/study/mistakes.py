"""Which answers are wrong, of which class, and what may have led to them."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import ConfusionMatrixDisplay

from catdog_helpers.data.runs import Run
from catdog_helpers.evaluation import wilson_interval
from catdog_helpers.plots import plot_images
from catdog_helpers.study.heatmaps import heat_map, plot_heat_maps
from catdog_helpers.study.inside import nearest_images, pooled_features


def per_class(
    truth: np.ndarray, answers: np.ndarray, names: Sequence[str]
) -> pd.DataFrame:
    """Measure the accuracy of each class on its own.

    Args:
        truth: Shape `(n,)`, class numbers.
        answers: Shape `(n,)`, the class numbers that were answered.
        names: Of all classes.

    Returns:
        One row per class that occurs, the weakest first: `images`, `right`,
        `accuracy`, `low` and `high` of its 95 % interval, and `taken for`,
        the class most often answered instead ("" if there is none).
    """
    rows = {}
    for number in np.unique(truth):
        given = answers[truth == number]
        right = int((given == number).sum())
        wrong = np.bincount(given[given != number], minlength=len(names))
        low, high = wilson_interval(right, len(given))
        rows[names[number]] = {
            "images": len(given),
            "right": right,
            "accuracy": right / len(given),
            "low": low,
            "high": high,
            "taken for": names[wrong.argmax()] if wrong.any() else "",
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.sort_values("accuracy", kind="stable")


def advise_class(table: pd.DataFrame) -> str:
    """Say in a sentence which class to work on.

    Args:
        table: What `per_class` returned.

    Returns:
        The sentence. A class is called weak only if its interval ends below
        that of the best class.
    """
    weak, best = table.iloc[0], table.iloc[-1]
    if weak.high >= best.low:
        return (
            "These images do not show that one class is weaker than another: "
            "the intervals overlap."
        )
    return (
        f"“{weak.name}” is the weakest class ({weak.accuracy:.3f}), and is "
        f"most often taken for “{weak['taken for']}”: more photographs of it, "
        "and such as are hard to tell from the other, would help most."
    )


def plot_confusion(
    truth: np.ndarray,
    answers: np.ndarray,
    names: Sequence[str],
    *,
    most: int = 20,
    ax: plt.Axes | None = None,
) -> plt.Axes:
    """Draw which class is taken for which.

    Args:
        truth: Shape `(n,)`, class numbers.
        answers: Shape `(n,)`, the class numbers that were answered.
        names: Of all classes.
        most: Of more classes, those with the most mistakes are shown.
        ax: Where to draw. Defaults to new axes.

    Returns:
        The axes: rows are the truth, columns the answers.
    """
    mistakes = np.bincount(truth[answers != truth], minlength=len(names))
    shown = np.sort(np.argsort(-mistakes, kind="stable")[:most])
    side = 3.2 + 0.2 * len(shown)
    ax = ax or plt.subplots(figsize=(side, side), layout="constrained")[1]
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


def plot_mistakes(
    probabilities: np.ndarray, run: Run, rows: np.ndarray
) -> np.ndarray:
    """Show test images that were answered wrongly.

    Args:
        probabilities: Of all test images, shape `(n_test, n_classes)`.
        run: What `load_run` returned.
        rows: Which of the test images, from 0.

    Returns:
        The axes, each with answer, probability and label as its title.
    """
    names, truth = run.class_names, run.labels[run.test]
    titles = [
        f"{names[p.argmax()]} {p.max():.2f}\n(label: {names[label]})"
        for p, label in zip(probabilities[rows], truth[rows], strict=True)
    ]
    return plot_images(run.images[run.test[rows]], titles)


def plot_reasons(
    model, probabilities: np.ndarray, run: Run, rows: np.ndarray
) -> np.ndarray:
    """Show where the model looked, and which training images are near.

    Args:
        model: As for `heat_map`.
        probabilities: As for `plot_mistakes`.
        run: What `load_run` returned.
        rows: Which of the test images, from 0.

    Returns:
        The axes, one row per image: itself, with its heat map, and the four
        training images whose features are nearest to its own.
    """
    used = np.sort(np.concatenate([run.train, run.validation, run.test]))
    features = pooled_features(model, run.images, used)
    answers, names = probabilities[rows].argmax(axis=1), run.class_names
    rows = run.test[rows]
    heats = heat_map(model, run.images[rows], answers)
    pictures, maps, titles = [], [], []
    for row, answer, heat in zip(rows, answers, heats, strict=True):
        near = nearest_images(features, np.array([row]), run.train, n=4)[0]
        near = np.resize(near, 4)  # again the first, if there are fewer
        pictures += [run.images[i] for i in (row, row, *near)]
        maps += [None, heat, None, None, None, None]
        titles += [f"label: {names[run.labels[row]]}", f"{names[answer]}?"]
        titles += [names[run.labels[i]] for i in near]
    return plot_heat_maps(pictures, maps, titles)
