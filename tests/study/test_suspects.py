"""Wrong labels are found from features, and sound ones left in peace."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from catdog_helpers.study import linear
from catdog_helpers.study.linear import suspect_labels


def blobs(n_classes: int, n: int = 60, spread: float = 1.0, seed: int = 0):
    """Return features in as many heaps as classes, and their labels."""
    rng = np.random.default_rng(seed)
    centers = 10 * rng.normal(size=(n_classes, 16))
    labels = np.repeat(np.arange(n_classes), n)
    noise = spread * rng.normal(size=(len(labels), 16))
    return (centers[labels] + noise).astype("float16"), labels


@pytest.mark.parametrize("n_classes", [2, 4])
def test_wrong_labels_are_found_and_no_others(n_classes):
    features, labels = blobs(n_classes)
    rng = np.random.default_rng(1)
    wrong = rng.choice(len(labels), 8, replace=False)
    given = labels.copy()
    given[wrong] = (given[wrong] + 1) % n_classes
    assert set(suspect_labels(features, given)) == set(wrong)


def test_right_labels_are_not_suspect():
    features, labels = blobs(3)
    assert len(suspect_labels(features, labels)) == 0


def test_the_most_suspect_comes_first():
    """One mislabelled image in the middle of a heap, one between two."""
    features, labels = blobs(2, seed=3)
    middle = [features[labels == k].mean(axis=0) for k in (0, 1)]
    features[0] = middle[1]
    features[1] = 0.4 * middle[0] + 0.6 * middle[1]
    found = suspect_labels(features, labels).tolist()
    assert found[0] == 0
    assert set(found) <= {0, 1}


def test_same_seed_same_suspects():
    features, labels = blobs(2, spread=12)
    first = suspect_labels(features, labels, seed=4)
    assert len(first) > 0
    assert first.tolist() == suspect_labels(features, labels, seed=4).tolist()


def test_class_numbers_need_not_be_consecutive():
    features, labels = blobs(2)
    labels[5] = 1
    assert suspect_labels(features, labels * 7 + 2).tolist() == [5]


def test_too_few_images_give_no_suspects():
    features, labels = blobs(2, n=4)
    assert suspect_labels(features, labels).tolist() == []
    assert suspect_labels(features, labels).dtype == int


@pytest.mark.parametrize("n_classes", [2, 5])
def test_suspects_are_those_of_cleanlab(n_classes):
    find_label_issues = pytest.importorskip("cleanlab.filter").find_label_issues
    rng = np.random.default_rng(n_classes)
    features, labels = blobs(n_classes, spread=8.0)
    noisy = rng.random(len(labels)) < 0.1
    labels[noisy] = rng.integers(n_classes, size=noisy.sum())
    probabilities = cross_val_predict(
        LogisticRegression(max_iter=500),
        features.astype("float32"),
        labels,
        method="predict_proba",
    )
    theirs = find_label_issues(
        labels,
        probabilities,
        filter_by="confident_learning",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    ours = linear._confidently_other(probabilities, labels)
    assert len(ours) > 5
    assert ours.tolist() == theirs.tolist()
