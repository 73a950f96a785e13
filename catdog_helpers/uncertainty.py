"""Measure when a model should not answer, and calibrate its probabilities."""

import numpy as np
from scipy.special import log_softmax, softmax

from catdog_helpers.machine.networks import with_features
from catdog_helpers.models import in_batches

REFUSED = 0.01  # share of good validation images that may be "not sure"
# Of 64, 128, 192 and 256 components, 64 refused the fewest photographs of
# cats and dogs from another source.
MAX_COMPONENTS, MAX_TRAIN = 64, 1000
MEASURED = ("components", "temperature", "threshold", "farthest", "shortest")
EPSILON = 1e-7  # least probability in a logarithm, as in Keras's cross-entropy


def measure_uncertainty(
    model,
    inputs: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    *,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Measure what a model needs to answer "not sure", without test images.

    Args:
        model: From rows of `inputs` to probabilities: a whole model, or the
            part behind stored features.
        inputs: Shape `(n, ...)`: images or features.
        labels: Shape `(n,)`, class numbers.
        train: Rows of the training images, of which up to 1,000 are run.
        validation: Rows of the validation images, all of which are run.
        seed: Seed of the choice of training images.

    Returns:
        `temperature`, `threshold` of the distance, and what the distance is
        computed with: `components`, shape `(n_components, n_features)`,
        float16, the directions in which the features of the training images
        lie; `farthest` and `shortest`, what 99 % of the validation images
        reach in either part of the distance.
    """
    run = with_features(model).predict_on_batch
    rng, n = np.random.default_rng(seed), min(MAX_TRAIN, len(train))
    features, _ = in_batches(run, inputs, np.sort(rng.choice(train, n, False)))
    # A quarter of the dimensions, or every picture would lie inside
    n_components = min(MAX_COMPONENTS, *(-(-s // 4) for s in features.shape))
    directions = np.linalg.svd(features, full_matrices=False)[2]
    found = {"components": directions[:n_components].astype(np.float16)}
    validation = np.sort(validation)
    features, probabilities = in_batches(run, inputs, validation)
    found["temperature"] = fit_temperature(probabilities, labels[validation])
    off, length = _off_plane(features, found["components"], np)
    found["farthest"] = np.quantile(off, 1 - REFUSED, method="higher")
    found["shortest"] = np.quantile(length, REFUSED, method="lower")
    found["threshold"] = np.quantile(
        distance(features, found), 1 - REFUSED, method="higher"
    )
    return {name: np.asarray(value) for name, value in found.items()}


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature at which probabilities have the least log loss.

    Temperature scaling (Guo et al. 2017, 4.2) with Platt's smoothed targets
    (1999): a few images without a mistake are no proof of certainty.

    Args:
        probabilities: Of validation images, shape `(n, n_classes)`.
        labels: Shape `(n,)`, class numbers.

    Returns:
        The temperature, 0.05 to 20; above 1, the model was overconfident.
    """
    from scipy.optimize import minimize_scalar  # 0.3 s, not for `predict`

    n, n_classes = probabilities.shape
    target = np.full((n, n_classes), 1 / (n + 2) / (n_classes - 1))
    target[np.arange(n), labels] = (n + 1) / (n + 2)
    logits = np.log(probabilities.astype(float).clip(EPSILON))

    def log_loss(log_t: float) -> float:
        scaled = log_softmax(logits / np.exp(log_t), axis=1)
        return -(target * scaled).sum() / n

    best = minimize_scalar(log_loss, bounds=np.log([0.05, 20]))
    return float(np.exp(best.x))


def calibrate(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Apply a temperature to probabilities; the likeliest class is the same.

    Args:
        probabilities: Shape `(n, n_classes)`.
        temperature: What `fit_temperature` returned.

    Returns:
        Probabilities of the same shape, rows that add up to 1.
    """
    logits = np.log(np.asarray(probabilities, dtype=float).clip(EPSILON))
    return softmax(logits / temperature, axis=1)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative logarithm of the true class's probability.

    Args:
        probabilities: Shape `(n, n_classes)`, rows that add up to 1.
        labels: Shape `(n,)`, class numbers.

    Returns:
        The log loss in nats; probabilities below `EPSILON` count as that.
    """
    of_truth = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(of_truth.clip(EPSILON, 1)).mean())


def distance(features: np.ndarray, uncertainty: dict) -> np.ndarray:
    """Measure how far pictures are from the training images.

    The larger of two parts, each about 1 at its limit. The squared residual
    outside the directions of the training images (ViM, Wang et al. 2022),
    divided by the length of the features; divided by the squared length, it
    refused plain photographs from another source, whose features are a little
    shorter. And how short the features are, because those of an empty picture
    are short (Dhamija et al. 2018).

    Args:
        features: Shape `(n, n_features)`.
        uncertainty: What `measure_uncertainty` returned.

    Returns:
        Shape `(n,)`, in [0, 10].
    """
    x = np.asarray(features, dtype=np.float32)
    return compute_distance(x, uncertainty, np)


def compute_distance(features, uncertainty: dict, ops):
    """Compute the `distance` with `numpy`, or `keras.ops` inside a model."""
    off, length = _off_plane(features, uncertainty["components"], ops)
    farthest = max(float(uncertainty["farthest"]), EPSILON)
    short = float(uncertainty["shortest"]) / length
    return ops.clip(ops.maximum(off / farthest, short), 0, 10)


def _off_plane(features, components: np.ndarray, ops) -> tuple:
    """Return the squared residual over the length, and the length."""
    inside = ops.matmul(features, components.astype(np.float32).T)
    squared = ops.maximum(ops.sum(features**2, axis=1), EPSILON)
    length = ops.sqrt(squared)
    return (squared - ops.sum(inside**2, axis=1)) / length, length


def with_distance(model, uncertainty: dict | None):
    """Add the `distance` to the outputs of a model.

    The model's framework computes it: NumPy's threads would compete with the
    framework's and cost a fifth of the speed.

    Args:
        model: A `keras.Model` from raw RGB to probabilities.
        uncertainty: What `measure_uncertainty` returned; with `None`, the
            model is returned as it is.

    Returns:
        A `keras.Model` with two outputs: probabilities and distance `(n,)`.
    """
    if uncertainty is None:
        return model
    import keras

    run = with_features(model)
    features, probabilities = run.outputs
    distance = compute_distance(features, uncertainty, keras.ops)
    return keras.Model(run.inputs[0], [probabilities, distance])
