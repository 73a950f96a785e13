"""Find labels that may be wrong, judged by classifiers that never saw them."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits


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
        images than there are folds are passed over.
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
