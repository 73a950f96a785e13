"""Logistic regression, and the same as a Keras layer."""

import numpy as np
import pytest

from catdog_helpers.study.linear import (
    choose_strength,
    fit_linear,
    linear_head,
)


def features(n_classes, n=120):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % n_classes
    x = rng.normal(size=(n, 8)) + 2 * np.eye(8)[labels]
    return (x / np.linalg.norm(x, axis=1, keepdims=True)), labels


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_layer_answers_as_the_solver(n_classes):
    x, labels = features(n_classes)
    solver = fit_linear(x, labels, strength=10)
    answers = linear_head(solver).predict(x, verbose=0)
    np.testing.assert_allclose(answers, solver.predict_proba(x), atol=1e-5)
    assert solver.score(x, labels) > 0.8


def test_the_validation_images_choose_the_strength():
    x, labels = features(2)
    train, validation = np.arange(0, 60), np.arange(60, 120)
    best, losses = choose_strength(
        x, labels, train, validation, strengths=(1e-6, 10)
    )
    assert best == 10
    assert losses[1e-6] == pytest.approx(np.log(2), abs=0.01)
    assert losses[10] < losses[1e-6]


def test_a_rare_class_counts_as_much_as_a_common_one():
    x, labels = features(2)
    few = np.r_[np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:6]]
    solver = fit_linear(x[few], labels[few], strength=0.01)
    answers = solver.predict(x)
    assert np.mean(answers[labels == 1] == 1) > 0.5
