"""Say in words what a data set is too small, too uneven or too untidy for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from catdog_helpers.data.manifest import count_reasons, has_other_label
from catdog_helpers.evaluation import wilson_interval
from catdog_helpers.training import UNEVEN

FEW = 10  # test images of a class, below which its accuracy says little


def what_more_buys(curve: pd.DataFrame) -> str:
    """Say what twice and four times the images would give, by the trend.

    Errors fall as a power of the number of images (Hestness et al., 2017,
    arXiv:1712.00409): a straight line through the logarithms goes on.

    Args:
        curve: What `learning_curve` returned.

    Returns:
        One sentence.
    """
    n, last = curve.index[-1], curve.iloc[-1]
    now = (
        f"{n:.0f} training images a class: a simple head is right in "
        f"{last.accuracy:.2f} ({last.low:.2f} to {last.high:.2f})"
    )
    if len(curve) < 3:
        return f"{now}; these are too few images to see a trend."
    error = np.log((1 - curve.accuracy.iloc[-3:]).clip(lower=1e-3))
    slope, start = np.polyfit(np.log(curve.index[-3:]), error, 1)
    if slope > -0.05:
        return f"{now}; more images of the same kind would buy little."
    two, four = 1 - np.exp(start + slope * np.log([2 * n, 4 * n]))
    more = f"{two:.2f} with twice as many, {four:.2f} with 4 times"
    return f"{now}; by the trend it would be {more}."


def advise(
    manifest: pd.DataFrame,
    *,
    suspects: Sequence[str] = (),
    curve: pd.DataFrame | None = None,
    classes: pd.DataFrame | None = None,
) -> list[str]:
    """Say what is too little, too uneven or mislabelled in a data set.

    Args:
        manifest: What `split` returned.
        suspects: Paths of images whose label may be wrong.
        curve: What `learning_curve` returned.
        classes: What `per_class` returned.

    Returns:
        Sentences, the general ones first.
    """
    counts = manifest["class"][manifest.split != ""].value_counts()
    tests = manifest["class"][manifest.split == "test"].value_counts()
    low, high = wilson_interval(round(0.9 * tests.sum()), tests.sum())
    said = [
        f"{tests.sum():,} test images: an accuracy of 0.90 on them has a 95 % "
        f"interval of {low:.2f} to {high:.2f}."
    ]
    few, least = (tests < FEW).sum(), tests.min()
    if few:
        low, high = wilson_interval(least, least)
        said.append(
            f"Too few for a verdict class by class: {few} of {len(tests)} "
            f"classes have under {FEW} test images; {tests.idxmin()!r} has "
            f"{least}, and even if all are right, the interval begins at "
            f"{low:.2f}."
        )
    if counts.max() > UNEVEN * counts.min():
        said.append(
            f"Uneven: {counts.idxmax()!r} has {counts.max():,} images, "
            f"{counts.idxmin()!r} {counts.min():,}. Training gives the classes "
            "weights; judge by the balanced accuracy, as whoever always "
            f"answers {counts.idxmax()!r} has an accuracy of "
            f"{counts.max() / counts.sum():.2f}."
        )
    findings = _findings(manifest, suspects)
    said += [
        f"{finding}: {len(paths):,}, such as {paths.iloc[0]}."
        for finding, paths in findings.items()
        if len(paths)
    ]
    said += [] if classes is None else [advise_class(classes)]
    return said if curve is None else [*said, what_more_buys(curve)]


def _findings(manifest: pd.DataFrame, suspects) -> dict[str, pd.Series]:
    """Return the paths of what is wrong with single files, by what it is."""
    rejected = manifest[manifest.status == "rejected"]
    # What stands behind the colon differs from file to file.
    reasons = count_reasons(rejected.reason.str.split(":").str[0])
    return {
        f"Files that do not decode ({reasons})": rejected.path,
        "Images that have a copy with another label (one of the two is wrong, "
        "so both are left out)": manifest.path[has_other_label(manifest)],
        "Training images that look more like another class (check their "
        "labels)": pd.Series(suspects, dtype=str),
    }


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
        The sentence. A class is called weak only if it differs from all
        others together beyond chance.
    """
    weak = table.iloc[0]
    if not weak["taken for"]:
        return "Every test image of every class is answered rightly."
    facts = (
        f"“{weak.name}” is the weakest class ({weak.accuracy:.3f} of "
        f"{weak.images:,} test images are right), and is most often taken for "
        f"“{weak['taken for']}”"
    )
    if not _is_weak(table):
        return f"{facts}; but some class must come last, and it may be chance."
    return (
        f"{facts}: more photographs of it, and such as are hard to tell from "
        "the other, would help most."
    )


def _is_weak(table: pd.DataFrame) -> bool:
    """Return whether the first class is weaker than the others (Fisher)."""
    wrong = table.images - table.right
    weak, rest = table.index == table.index[0], table.index != table.index[0]
    counts = [[table.right[x].sum(), wrong[x].sum()] for x in (weak, rest)]
    # The weakest of n classes was picked out, so it had n chances.
    return bool(fisher_exact(counts).pvalue * len(table) < 0.05)


def next_steps(
    classes: pd.DataFrame,
    *,
    n_suspects: int,
    n_rejected: int,
    model: str | Path,
) -> list[str]:
    """Say in three sentences what to do next.

    Args:
        classes: What `per_class` returned.
        n_suspects: How many labels are to be checked.
        n_rejected: How many files do not decode.
        model: Path of the model, for the command.

    Returns:
        What to do about the files, about the photographs, and before the
        model is used.
    """
    tidy = []
    if n_suspects:
        tidy.append(f"look through suspects.csv ({n_suspects:,} in doubt)")
    if n_rejected:
        tidy.append(f"replace the files that do not decode ({n_rejected:,})")
    files = " and ".join(tidy) or "nothing needs to be done about the files"
    weak = classes.iloc[0]
    more = "Take more photographs of all classes, of the kind that will be used"
    if _is_weak(classes):
        more = (
            f"Take more photographs of “{weak.name}”, above all such as look "
            f"like “{weak['taken for']}”"
        )
    return [
        f"{files[0].upper()}{files[1:]}.",
        f"{more}.",
        "Before you rely on the model, check it on photographs that it has not "
        f"seen, in one folder a class: catdog check --model {model} FOLDER",
    ]
