"""Judge predicted probabilities: accuracy, its interval, honesty."""

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Give the 95 % interval of an accuracy.

    Wilson's score interval (E. B. Wilson, JASA 22, 1927): unlike the usual
    plus-minus it holds near 100 % and for few images.

    Args:
        correct: Number of images answered correctly.
        n: Number of images.

    Returns:
        low, high: In [0, 1].
    """
    interval = binomtest(correct, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Measure how far a model's certainty is from its success.

    The expected calibration error with 15 bins of equal width (Guo et al.,
    On Calibration of Modern Neural Networks, ICML 2017, section 2): answers
    are sorted into bins by the probability of the class answered; in each bin
    that probability should equal the share of right answers.

    Args:
        probabilities: Shape `(n, n_classes)`, rows that add up to 1.
        labels: Shape `(n,)`, class numbers.

    Returns:
        The distance, averaged over all images, in [0, 1]; 0 is best.
    """
    sure = probabilities.max(axis=1).astype("float64")
    right = probabilities.argmax(axis=1) == labels
    gaps = np.bincount(np.ceil(sure * 15).astype(int), right - sure)
    return float(np.abs(gaps).sum() / len(sure))


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict:
    """Measure predicted probabilities against the true classes.

    Args:
        probabilities: Shape `(n, n_classes)`, rows that add up to 1.
        labels: Shape `(n,)`, class numbers.

    Returns:
        `test_accuracy` in [0, 1], its `test_interval`, the
        `interval_method`, `balanced_accuracy` (the mean of the classes' own
        accuracies), `test_log_loss` in nats (lower is better), and
        `test_calibration_error` in [0, 1] with its `calibration_method`.
    """
    labels = np.asarray(labels)
    answers = probabilities.argmax(axis=1)
    correct = int((answers == labels).sum())
    of_truth = probabilities[np.arange(len(labels)), labels]
    return {
        "test_accuracy": correct / len(labels),
        "test_interval": wilson_interval(correct, len(labels)),
        "interval_method": "Wilson score, 95 %",
        # Each class counts the same, however few its images.
        "balanced_accuracy": float(balanced_accuracy_score(labels, answers)),
        # 1e-7 is the epsilon of Keras's own cross-entropy.
        "test_log_loss": float(-np.log(of_truth.clip(1e-7, 1)).mean()),
        "test_calibration_error": calibration_error(probabilities, labels),
        "calibration_method": "expected calibration error, 15 equal bins",
    }
