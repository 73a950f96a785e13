"""Logistic regression on features: heads, learning curves, wrong labels."""

from collections.abc import Sequence

import keras
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

from catdog_helpers.evaluation import wilson_interval
from catdog_helpers.study.curves import in_proportion
from catdog_helpers.training import class_weights
from catdog_helpers.uncertainty import log_loss

HEAD = make_pipeline(Normalizer(), LogisticRegression(C=30, max_iter=500))
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


def fit_linear(
    x: np.ndarray, labels: np.ndarray, *, strength: float
) -> LogisticRegression:
    """Fit a logistic regression; a solver finds its only best weights.

    Args:
        x: Shape `(n, n_features)`, rows of about the same length.
        labels: Shape `(n,)`, class numbers.
        strength: How large the weights may become (scikit-learn's `C`).

    Returns:
        The fitted classifier; its classes are weighted as in training.
    """
    weights = class_weights(labels)
    solver = LogisticRegression(C=strength, max_iter=1000, class_weight=weights)
    with threadpool_limits(1):  # so small a task is slower on many threads
        return solver.fit(np.asarray(x, dtype="float32"), labels)


def choose_strength(
    x: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> tuple[float, dict[float, float]]:
    """Choose how large the weights may become, by the validation images.

    Args:
        x: Shape `(n, n_features)`, rows of about the same length.
        labels: Shape `(n,)`, class numbers.
        train: Rows to learn from.
        validation: Rows to choose by.
        strengths: What to try.

    Returns:
        best, losses: The strength with the lowest validation log loss, and
        the loss of each.
    """
    losses = {}
    for strength in strengths:
        solver = fit_linear(x[train], labels[train], strength=strength)
        answers = solver.predict_proba(np.asarray(x[validation], "float32"))
        losses[strength] = log_loss(answers, labels[validation])
    return min(losses, key=losses.get), losses


def linear_head(solver: LogisticRegression):
    """Copy a fitted logistic regression into a Keras model.

    Args:
        solver: What `fit_linear` returned.

    Returns:
        A `keras.Model` named "head" from features `(batch, n_features)` to
        probabilities `(batch, n_classes)`, which can be trained further.
    """
    w, b = solver.coef_.T, solver.intercept_
    if w.shape[1] == 1:  # of two classes the solver keeps one column
        w, b = np.hstack([-w, w]) / 2, np.hstack([-b, b]) / 2
    dense = keras.layers.Dense(len(b), activation="softmax", dtype="float32")
    head = keras.Sequential([keras.Input(w.shape[:1]), dense], name="head")
    dense.set_weights([w, b])
    return head


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
    parts = [(in_proportion(a, y), b) for a, b in _parts(y, groups)]
    most = min(len(a) for a, _ in parts)
    shares = [s for s in (0.125, 0.25, 0.5) if s * most >= len(counts)]
    options = {"train_sizes": [*shares, 1.0], "cv": parts}
    with threadpool_limits(1):  # threads that wait for each other cost more
        sizes, _, scores = sklearn_curve(HEAD, x, y, **options)
    accuracy = scores.mean(axis=1)
    rows = [(a, *wilson_interval(round(a * len(x)), len(x))) for a in accuracy]
    index = pd.Index(sizes / len(counts), name="images a class")
    return pd.DataFrame(rows, index, columns=["accuracy", "low", "high"])


def cross_validate(
    x: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Answer each image by what a logistic regression learned from others.

    Args:
        x: Shape `(n, n_features)`, in random order.
        labels: Shape `(n,)`, class numbers.
        groups: Shape `(n,)`; images of a group, copies, stay together.

    Returns:
        Probabilities, shape `(n, n_classes)`, of the classes that occur.
    """
    options = {"cv": list(_parts(labels, groups)), "method": "predict_proba"}
    with threadpool_limits(1):  # threads that wait for each other cost more
        return cross_val_predict(HEAD, x, labels, **options)


def _parts(labels: np.ndarray, groups: np.ndarray):
    """Yield the rows of two to five parts, and of the others."""
    _, counts = np.unique(labels, return_counts=True)
    folds = int(np.clip(counts.min(), 2, 5))
    # In random order already: scikit-learn before 1.7, shuffling, forgets to
    # stratify.
    return StratifiedGroupKFold(folds).split(labels, labels, groups)


def suspect_labels(
    features: np.ndarray, labels: np.ndarray, *, folds: int = 5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
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
        rows, others: Positions in `labels`, the most suspect first, and the
        class number that each of them looks like. Classes with fewer images
        than folds are skipped.
    """
    features = np.asarray(features, dtype=np.float32)
    _, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    judged = np.flatnonzero(counts[own] >= folds)
    if len(set(own[judged])) < 2:
        return np.array([], dtype=int), np.array([], dtype=int)
    kinds, own = np.unique(np.asarray(labels)[judged], return_inverse=True)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    options = {"cv": parts, "method": "predict_proba"}
    head = LogisticRegression(C=0.01, max_iter=500)
    with threadpool_limits(1):  # threads that wait for each other cost more
        found = cross_val_predict(head, features[judged], own, **options)
    rows, others = _confidently_other(found, own)
    return judged[rows], kinds[others]


def _confidently_other(probabilities: np.ndarray, own: np.ndarray):
    """Return the rows that another class fits better, and that class."""
    n_classes = probabilities.shape[1]
    means = [probabilities[own == k, k].mean() for k in range(n_classes)]
    confident = np.where(probabilities >= means, probabilities, 0.0)
    of_own = probabilities[np.arange(len(own)), own]
    rows = np.flatnonzero(confident.max(axis=1) > of_own)
    rows = rows[of_own[rows].argsort()]
    return rows, confident[rows].argmax(axis=1)


def swap_labels(
    features: np.ndarray,
    labels: np.ndarray,
    suspects: np.ndarray,
    *,
    share: float = 0.05,
    seed: int = 0,
) -> dict[str, int]:
    """Swap some labels on purpose, to measure what `suspect_labels` is worth.

    Args:
        features: As for `suspect_labels`.
        labels: As for `suspect_labels`.
        suspects: The positions that it returned; these are not swapped.
        share: Of the labels that are swapped, but at least five.
        seed: Of the choice.

    Returns:
        `swapped`, how many labels; `found`, how many of these are listed; and
        `by chance`, how many sound ones are listed that were not before.
    """
    rng, kinds = np.random.default_rng(seed), np.unique(labels)
    others = np.setdiff1d(np.arange(len(labels)), suspects)
    n = min(max(5, round(share * len(labels))), len(others))
    rows, mixed = rng.choice(others, n, replace=False), np.array(labels)
    moved = np.searchsorted(kinds, mixed[rows]) + rng.integers(1, len(kinds), n)
    mixed[rows] = kinds[moved % len(kinds)]
    listed, _ = suspect_labels(features, mixed, seed=seed)
    found = np.isin(listed, rows)
    chance = ~found & ~np.isin(listed, suspects)
    counts = {"found": int(found.sum()), "by chance": int(chance.sum())}
    return {"swapped": n} | counts
