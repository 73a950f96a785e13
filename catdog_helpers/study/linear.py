"""A linear head: logistic regression on features, as a Keras layer."""

from collections.abc import Sequence

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from catdog_helpers.training import class_weights

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
    losses, rows = {}, np.arange(len(validation))
    for strength in strengths:
        solver = fit_linear(x[train], labels[train], strength=strength)
        answers = solver.predict_proba(np.asarray(x[validation], "float32"))
        of_truth = answers[rows, labels[validation]]
        losses[strength] = float(-np.log(of_truth.clip(1e-7)).mean())
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
