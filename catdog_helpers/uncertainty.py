"""Know when not to answer: calibrated probabilities, and strange pictures."""

import numpy as np
from scipy.special import log_softmax, softmax

from catdog_helpers.models import in_batches

REFUSED = 0.01  # share of good validation images that may be "not sure"
# Of 32, 64 and 128 components the smaller two refused fewer good photographs
# than asked for; all told every made-up picture from 2,000 photographs'.
MAX_COMPONENTS, MAX_TRAIN = 64, 1000
EPSILON = 1e-7  # as in Keras's own cross-entropy


def measure_uncertainty(
    model,
    inputs: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    *,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Measure what a model needs to say "not sure"; never on test images.

    Args:
        model: From rows of `inputs` to probabilities: a whole model, or the
            part of one behind stored features.
        inputs: Shape `(n, ...)`: images or features.
        labels: Shape `(n,)`, class numbers.
        train: Rows of the training images; up to 1,000 of them are run.
        validation: Rows of the validation images; all are run.
        seed: Of the choice of training images.

    Returns:
        `temperature`, `threshold` of the distance, and `components`, shape
        `(n_components, n_features)`, float16: the directions in which the
        features of the training images lie.
    """
    run = with_features(model).predict_on_batch
    rng, n = np.random.default_rng(seed), min(MAX_TRAIN, len(train))
    features, _ = in_batches(run, inputs, np.sort(rng.choice(train, n, False)))
    # A quarter of what there is: else all would lie inside.
    n_components = min(MAX_COMPONENTS, *(-(-s // 4) for s in features.shape))
    directions = np.linalg.svd(features, full_matrices=False)[2]
    found = {"components": directions[:n_components].astype(np.float16)}
    validation = np.sort(validation)
    features, probabilities = in_batches(run, inputs, validation)
    found["temperature"] = fit_temperature(probabilities, labels[validation])
    found["threshold"] = np.quantile(
        distance(features, found), 1 - REFUSED, method="higher"
    )
    return {name: np.asarray(value) for name, value in found.items()}


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature at which probabilities have the least log loss.

    Temperature scaling (Guo et al. 2017, 4.2) with Platt's smoothed targets
    (1999), so that few images without a mistake do not promise certainty.

    Args:
        probabilities: Of validation images, shape `(n, n_classes)`.
        labels: Shape `(n,)`, class numbers.

    Returns:
        The temperature, 0.05 to 20; above 1 the model was too sure.
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
    """Apply a temperature to probabilities; the likeliest class stays.

    Args:
        probabilities: Shape `(n, n_classes)`.
        temperature: What `fit_temperature` returned.

    Returns:
        Probabilities of the same shape, rows that add up to 1.
    """
    logits = np.log(np.asarray(probabilities, dtype=float).clip(EPSILON))
    return softmax(logits / temperature, axis=1)


def distance(features: np.ndarray, uncertainty: dict) -> np.ndarray:
    """Measure how unlike the training images pictures are.

    It is the share of the squared length of the features that lies outside
    of the directions of the training images: 0 alike, 1 nothing in common
    (null space analysis, Cook et al. 2020; the residual of ViM, Wang et al.
    2022).

    Args:
        features: Shape `(n, n_features)`.
        uncertainty: With `components`, as `measure_uncertainty` gives them.

    Returns:
        Shape `(n,)`, in [0, 1].
    """
    x = np.asarray(features, dtype=np.float32)
    return share_outside(x, uncertainty["components"], np)


def share_outside(features, components: np.ndarray, ops):
    """Compute the `distance`, of arrays or as a part of a model.

    Args:
        features: Array, or symbolic tensor, of shape `(n, n_features)`.
        components: As `measure_uncertainty` gives them.
        ops: `numpy` or `keras.ops`, as `features` need.

    Returns:
        What `ops` makes of it, of shape `(n,)`.
    """
    inside = ops.matmul(features, components.astype(np.float32).T)
    length = ops.maximum(ops.sum(features**2, axis=1), EPSILON)
    return ops.clip(1 - ops.sum(inside**2, axis=1) / length, 0, 1)


def with_features(model):
    """Make a model give its pooled features beside its probabilities.

    Args:
        model: A `keras.Model` of this series, or a part that ends like one.

    Returns:
        A `keras.Model` with the same layers and two outputs: features
        `(batch, n_features)` and probabilities.
    """
    import keras

    if not isinstance(model, keras.Sequential):
        pooling = keras.layers.GlobalAveragePooling2D
        inputs, features = model.inputs[0], model.layers[-1].input
        pooled = [x.output for x in model.layers if isinstance(x, pooling)]
        nested = [x for x in model.layers if hasattr(x, "layers")]
        nested = [x for x in nested if len(x.output_shape) == 2]
        if pooled:
            features = pooled[-1]
        elif nested:  # e.g. a model that looks twice
            features, _ = with_features(nested[0])(inputs)
        return keras.Model(inputs, [features, model.outputs[0]])
    tensors = [keras.Input(model.input_shape[1:])]
    for layer in _unnested(model):
        tensors.append(layer(tensors[-1]))
    # The first that has no more height and width
    features = next(x for x in tensors if len(x.shape) == 2)
    return keras.Model(tensors[0], [features, tensors[-1]])


def with_distance(model, uncertainty: dict | None):
    """Make a model give the `distance` beside its probabilities.

    It is computed by the model's own framework: beside it, NumPy's threads
    cost a fifth of the speed.

    Args:
        model: A `keras.Model` from raw RGB to probabilities.
        uncertainty: As `measure_uncertainty` gives it; `None` gives the model
            as it is.

    Returns:
        A `keras.Model` with two outputs: probabilities and distance `(n,)`.
    """
    if uncertainty is None:
        return model
    import keras

    run = with_features(model)
    features, probabilities = run.outputs
    components = uncertainty["components"]
    distance = share_outside(features, components, keras.ops)
    return keras.Model(run.inputs, [probabilities, distance])


def _unnested(model):
    """Yield a Sequential's layers, and those of Sequentials in it."""
    for layer in model.layers:
        if hasattr(layer, "layers") and hasattr(layer, "add"):
            yield from _unnested(layer)
        else:
            yield layer
