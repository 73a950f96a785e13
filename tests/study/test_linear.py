"""Logistic regression on features: heads, curves, and wrong labels."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from catdog_helpers.study import linear
from catdog_helpers.study.advice import what_more_buys
from catdog_helpers.study.linear import (
    choose_strength,
    fit_linear,
    learning_curve,
    linear_head,
    suspect_labels,
    swap_labels,
)


def blobs(n, spread, n_classes=4):
    """Return features in as many heaps as classes, and their labels."""
    rng = np.random.default_rng(1)
    labels = np.arange(n) % n_classes
    centres = rng.normal(size=(n_classes, 32))
    return centres[labels] + spread * rng.normal(size=(n, 32)), labels


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_layer_answers_as_the_solver(n_classes):
    x, labels = blobs(120, 0.5, n_classes)
    solver = fit_linear(x, labels, strength=10)
    answers = linear_head(solver).predict(x, verbose=0)
    np.testing.assert_allclose(answers, solver.predict_proba(x), atol=1e-5)
    assert solver.score(x, labels) > 0.8


def test_the_validation_images_choose_the_strength():
    x, labels = blobs(120, 0.5, 2)
    rows = np.arange(60), np.arange(60, 120)
    best, losses = choose_strength(x, labels, *rows, strengths=(1e-6, 10))
    assert best == 10
    assert losses[1e-6] == pytest.approx(np.log(2), abs=0.01)
    assert losses[10] < losses[1e-6]


def test_a_rare_class_counts_as_much_as_a_common_one():
    x, labels = blobs(120, 1.0, 2)
    few = np.r_[np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:6]]
    answers = fit_linear(x[few], labels[few], strength=0.01).predict(x)
    assert np.mean(answers[labels == 1] == 1) > 0.5


def test_the_curve_rises_with_the_images_and_repeats():
    features, labels = blobs(400, 2.5)
    curve = learning_curve(features, labels)
    assert curve.index.tolist() == pytest.approx([10, 20, 40, 80])
    assert curve.accuracy.iloc[-1] > curve.accuracy.iloc[0] + 0.05
    assert (curve.low < curve.accuracy).all()
    assert (curve.accuracy < curve.high).all()
    pd.testing.assert_frame_equal(curve, learning_curve(features, labels))
    noise = np.random.default_rng(2).permutation(labels)
    assert learning_curve(features, noise).accuracy.max() < 0.4


def test_copies_do_not_lift_the_curve():
    features, labels = blobs(60, 50.0)
    labels = np.random.default_rng(2).permutation(labels)
    twice, both = np.tile(features, (2, 1)), np.tile(labels, 2)
    leaked = learning_curve(twice, both).accuracy.iloc[-1]
    groups = np.tile(np.arange(60), 2)
    held = learning_curve(twice, both, groups=groups).accuracy.iloc[-1]
    assert leaked > 0.6
    assert held < 0.5


@pytest.mark.filterwarnings("error:The least populated")
@pytest.mark.filterwarnings("error::sklearn.exceptions.FitFailedWarning")
@pytest.mark.parametrize("counts", [[2] * 60, [2, 2], [200, 8], [3, 2, 90]])
def test_few_or_uneven_images_have_a_curve_too(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    curve = learning_curve(np.eye(len(counts))[labels] + 0.1, labels)
    assert curve.accuracy.between(0, 1).all()
    assert what_more_buys(curve).endswith(".")


@pytest.mark.parametrize("n_classes", [2, 4])
def test_wrong_labels_are_found_and_no_others(n_classes):
    features, labels = blobs(60 * n_classes, 0.1, n_classes)
    assert len(suspect_labels(features, labels)[0]) == 0
    before = labels.copy()
    wrong = np.random.default_rng(1).choice(len(labels), 8, replace=False)
    labels[wrong] = (labels[wrong] + 1) % n_classes
    found, others = suspect_labels(features, labels)
    assert set(found) == set(wrong)
    assert (others == before[found]).all()
    # Class numbers need not be consecutive.
    found, others = suspect_labels(features, labels * 7 + 2)
    assert set(found) == set(wrong)
    assert (others == before[found] * 7 + 2).all()


def test_swapped_labels_measure_the_list():
    features, labels = blobs(100, 0.1, 3)
    counts = swap_labels(features, labels * 2, np.array([], int))
    assert counts == {"swapped": 5, "found": 5, "by chance": 0}
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 3))
    labels = (features[:, 0] + rng.normal(0, 0.5, 400) > 0).astype(int)
    suspects, _ = suspect_labels(features, labels)
    counts = swap_labels(features, labels, suspects, share=0.1)
    assert counts["swapped"] == 40
    assert 0 < counts["found"] < 40
    assert counts["by chance"] > 0


def test_the_most_suspect_comes_first_whatever_the_run():
    """One mislabelled image in the middle of a heap, one between two."""
    features, labels = blobs(120, 0.1, 2)
    middle = [features[labels == k].mean(axis=0) for k in (0, 1)]
    features[0] = middle[1]
    features[2] = 0.4 * middle[0] + 0.6 * middle[1]
    found = suspect_labels(features, labels, seed=4)[0].tolist()
    assert found[0] == 0
    assert set(found) <= {0, 2}
    again, _ = suspect_labels(features, labels, seed=4)
    assert found == again.tolist()
    few, _ = suspect_labels(*blobs(8, 0.1, 2))
    assert few.tolist() == []


@pytest.mark.parametrize("n_classes", [2, 5])
def test_suspects_are_those_of_cleanlab(n_classes):
    find_label_issues = pytest.importorskip("cleanlab.filter").find_label_issues
    rng = np.random.default_rng(n_classes)
    features, labels = blobs(60 * n_classes, 1.0, n_classes)
    noisy = rng.random(len(labels)) < 0.1
    labels[noisy] = rng.integers(n_classes, size=noisy.sum())
    head = LogisticRegression(max_iter=500)
    answers = cross_val_predict(head, features, labels, method="predict_proba")
    theirs = find_label_issues(
        labels,
        answers,
        filter_by="confident_learning",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    ours, _ = linear._confidently_other(answers, labels)
    assert len(ours) > 3
    assert ours.tolist() == theirs.tolist()
