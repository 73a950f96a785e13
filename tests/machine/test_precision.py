"""The number format: what is picked, and that it changes next to nothing."""

import keras
import numpy as np
import pytest

from catdog_helpers.bases import load_base
from catdog_helpers.machine import precision as module
from catdog_helpers.machine.precision import formats, with_precision
from catdog_helpers.models import build_cnn, build_head, cut_base, join


@pytest.mark.parametrize(
    ("hardware", "expected"),
    [
        ({}, "float32"),
        ({"flags": "avx512f avx512_bf16"}, "bfloat16"),
        ({"flags": "amx_bf16"}, "bfloat16"),
        ({"flags": "avx512_bf16_not"}, "float32"),
        ({"flags": "avx512_bf16", "backend": "jax"}, "float32"),
        ({"capability": 6}, "float32"),
        ({"capability": 7}, "float16"),
        ({"capability": 8}, "bfloat16"),
        ({"capability": 12}, "bfloat16"),
        ({"capability": 7, "flags": "avx512_bf16"}, "float16"),
    ],
)
def test_the_hardware_says_which_formats_to_try(
    hardware, expected, monkeypatch
):
    machine = {"capability": 0, "flags": "fma", "backend": "tensorflow"}
    machine |= hardware
    info = f"flags\t\t: avx2 {machine['flags']} sse\n"
    monkeypatch.setattr(module, "gpu_capability", lambda: machine["capability"])
    monkeypatch.setattr(module, "cpu_info", lambda: info)
    monkeypatch.setattr(keras.backend, "backend", lambda: machine["backend"])
    others = [] if expected == "float32" else [expected]
    assert formats() == ["float32", *others]


@pytest.mark.parametrize(
    ("base", "resolution"),
    [
        ("sample", None),
        ("sample", 80),
        ("VGG16", None),
        pytest.param("ResNet50", None, marks=pytest.mark.slow),
        pytest.param("ConvNeXtTiny", None, marks=pytest.mark.slow),
    ],
)
def test_a_base_gives_nearly_the_same_in_bfloat16(base, resolution):
    weights = "imagenet" if base == "sample" else None
    options = {"image_size": 64, "resolution": resolution}
    model = load_base(base, weights, **options)
    front, back = cut_base(model, None)
    whole = join(front, back, build_head(model.output_shape[-1:], 2))
    fast = with_precision(whole, "bfloat16")
    x = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3))
    x = x.astype("float32")
    expected, actual = (m.predict_on_batch(x) for m in (whole, fast))
    assert actual.dtype == np.float32
    assert not np.array_equal(actual, expected), "computed in float32"
    # 8 bits of precision; more noise than here, as the weights are random
    np.testing.assert_allclose(actual, expected, atol=0.04)
    again = with_precision(fast, "float32").predict_on_batch(x)
    np.testing.assert_allclose(again, expected, atol=1e-6)


def test_weights_names_and_softmax_stay():
    model = build_cnn(32, 3)
    fast = with_precision(model, "bfloat16")
    # A model that computes so already is not copied.
    assert with_precision(model, "float32") is model
    assert with_precision(fast, "bfloat16") is fast
    names = [[x.name for x in m.layers[1:]] for m in (fast, model)]
    assert names[0] == names[1]
    for one, other in zip(model.weights, fast.weights, strict=True):
        assert other.dtype == "float32"
        np.testing.assert_array_equal(one, other)
    assert fast.layers[-1].compute_dtype == "float32"
    assert {x.compute_dtype for x in fast.layers[1:-1]} == {"bfloat16"}


def test_another_precision_is_refused_in_one_line():
    with pytest.raises(ValueError, match="^.*Received: 'int8'$"):
        with_precision(build_cnn(32, 2), "int8")


def test_a_copy_of_what_is_frozen_can_be_opened():
    model = load_base("sample", image_size=64)
    front, back = cut_base(model, None)
    whole = join(front, back, build_head(model.output_shape[-1:], 2))
    part = with_precision(whole, "bfloat16").get_layer("front")
    assert not part.trainable_weights
    part.trainable = True
    assert part.trainable_weights


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32"])
def test_float16_is_trained_with_a_scaled_loss(precision):
    """Else gradients below 6e-8 are zero; the other formats reach 1e-38."""
    model = with_precision(build_cnn(32, 2, widths=(4, 4)), precision)
    model.compile("sgd", "sparse_categorical_crossentropy")
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "float16")
    x = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3))
    before = model.get_weights()
    model.fit(x.astype("float32"), np.arange(8) % 2, verbose=0)
    again = with_precision(model, "float32")
    moved = zip(before, again.get_weights(), strict=True)
    assert any((a != b).any() for a, b in moved)
    assert all(np.isfinite(w).all() for w in again.get_weights())
