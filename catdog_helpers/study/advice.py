"""Say in words what a data set is too small, too uneven or too untidy for."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.model_selection import learning_curve as sklearn_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from threadpoolctl import threadpool_limits

from catdog_helpers.data.manifest import has_other_label
from catdog_helpers.evaluation import wilson_interval
from catdog_helpers.study.curves import in_proportion
from catdog_helpers.training import UNEVEN

FEW = 10  # test images of a class, below which its accuracy says little


def learning_curve(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure the accuracy with fewer images, to estimate it with more.

    A logistic regression on stored features learns from an eighth, a quarter, a
    half and all of the images, in five parts that are each judged by what was
    learned from the others.

    Args:
        features: Shape `(n, n_features)`, without test images; of more than
            2,000 rows those are drawn.
        labels: Shape `(n,)`, class numbers.
        groups: Shape `(n,)`; images of a group, copies, stay together.
        seed: Of the parts.

    Returns:
        One row a size, by `images a class` (their mean): `accuracy`, with
        `low` and `high` of its 95 % Wilson interval.
    """
    some = np.random.default_rng(seed).permutation(len(labels))[:2000]
    x, y = np.asarray(features[some], dtype="float32"), labels[some]
    groups = np.arange(len(x)) if groups is None else groups[some]
    _, counts = np.unique(y, return_counts=True)
    folds = int(np.clip(counts.min(), 2, 5))
    # In random order already: scikit-learn before 1.7, shuffling, forgets to
    # stratify.
    parts = StratifiedGroupKFold(folds).split(x, y, groups)
    parts = [(in_proportion(a, y), b) for a, b in parts]
    most = min(len(a) for a, _ in parts)
    shares = [s for s in (0.125, 0.25, 0.5) if s * most >= len(counts)]
    head = make_pipeline(Normalizer(), LogisticRegression(C=30, max_iter=500))
    options = {"train_sizes": [*shares, 1.0], "cv": parts}
    with threadpool_limits(1):  # threads that wait for each other cost more
        sizes, _, scores = sklearn_curve(head, x, y, **options)
    accuracy = scores.mean(axis=1)
    rows = [(a, *wilson_interval(round(a * len(x)), len(x))) for a in accuracy]
    index = pd.Index(sizes / len(counts), name="images a class")
    return pd.DataFrame(rows, index, columns=["accuracy", "low", "high"])


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
) -> list[str]:
    """Say what is too little, too uneven or mislabelled in a data set.

    Args:
        manifest: What `split` returned.
        suspects: Paths of images whose label may be wrong.
        curve: What `learning_curve` returned.

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
    findings = {
        "files do not decode": manifest.path[manifest.status == "rejected"],
        "images have a copy with another label, so one of the two is wrong, "
        "and both are left out": manifest.path[has_other_label(manifest)],
        "training images look more like another class, so check their "
        "labels": pd.Series(suspects, dtype=str),
    }
    for finding, paths in findings.items():
        if len(paths):
            said.append(f"{len(paths):,} {finding}, such as {paths.iloc[0]}.")
    return said if curve is None else [*said, what_more_buys(curve)]


def suspect_labels(
    features: np.ndarray, labels: np.ndarray, *, folds: int = 5, seed: int = 0
) -> np.ndarray:
    """List the images whose label another class fits better.

    Confident learning (Northcutt, Jiang and Chuang, JAIR 70, 2021): each image
    is judged by a classifier that was not trained on it. It is a suspect if
    the probability of another class reaches the mean that images labelled so
    have, and exceeds that of its own label.

    Args:
        features: Shape `(n, n_features)`.
        labels: Shape `(n,)`, class numbers.
        folds: Parts in which the images are judged in turn.
        seed: Of the parts.

    Returns:
        Positions in `labels`, the most suspect first. Classes with fewer
        images than folds are skipped.
    """
    features = np.asarray(features, dtype=np.float32)
    _, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    judged = np.flatnonzero(counts[own] >= folds)
    if len(set(own[judged])) < 2:
        return np.array([], dtype=int)
    features = features[judged]
    _, own = np.unique(own[judged], return_inverse=True)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    options = {"cv": parts, "method": "predict_proba"}
    head = LogisticRegression(C=0.01, max_iter=500)
    with threadpool_limits(1):  # threads that wait for each other cost more
        probabilities = cross_val_predict(head, features, own, **options)
    return judged[_confidently_other(probabilities, own)]


def _confidently_other(probabilities: np.ndarray, own: np.ndarray):
    mean_if_labelled = [
        probabilities[own == k, k].mean() for k in range(own.max() + 1)
    ]
    of_own = probabilities[np.arange(len(own)), own]
    confident = probabilities >= np.array(mean_if_labelled)
    others = np.where(confident, probabilities, 0.0).max(axis=1)
    suspects = np.flatnonzero(others > of_own)
    return suspects[of_own[suspects].argsort()]
