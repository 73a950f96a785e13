"""Backbones of KerasHub as bases: every layout of tokens, random weights."""

import sys

import keras
import numpy as np
import pytest

from catdog_helpers import (
    build_head,
    extract_features,
    join,
    load_base,
    load_run,
    predict,
    save_result,
)
from catdog_helpers.deploy.exporting import export
from catdog_helpers.models import cut_base
from catdog_helpers.study.heatmaps import heat_map

SIDE, PATCH, PREFIX = 16, 4, {"ViT": 1, "DINOv2": 1, "DINOv3": 5, "ResNet": 0}


def build(kind: str):
    from keras_hub import models

    shape = {"image_shape": (SIDE, SIDE, 3)}
    small = {"patch_size": PATCH, "num_layers": 1, "num_heads": 2}
    small |= {"hidden_dim": 8} | shape
    if kind == "ViT":
        return models.ViTBackbone(mlp_dim=16, **small)
    if kind == "DINOv2":
        return models.DINOV2Backbone(intermediate_dim=16, **small)
    if kind == "DINOv3":
        return models.DINOV3Backbone(
            intermediate_dim=16, num_register_tokens=4, **small
        )
    return models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    )


@pytest.fixture(params=PREFIX)
def preset(request, tmp_path):
    """A preset on this disk, its backbone and its converter."""
    layers = pytest.importorskip("keras_hub").layers
    keras.utils.set_random_seed(0)
    backbone = build(request.param)
    converter_of = {
        "ViT": "ViTImageConverter",
        "DINOv2": "DINOV2ImageConverter",
        "DINOv3": "DINOV3ImageConverter",
        "ResNet": "ResNetImageConverter",
    }
    converter = getattr(layers, converter_of[request.param])(
        image_size=(SIDE, SIDE),
        scale=[0.01, 0.02, 0.03],
        offset=[-0.5, -0.4, -0.3],
    )
    folder = tmp_path / "preset"
    backbone.save_to_preset(folder)
    converter.save_to_preset(folder)
    return request.param, folder, backbone, converter


def test_patches_lie_where_they_are_in_the_image(preset):
    kind, folder, backbone, converter = preset
    base = load_base(f"hub:{folder}", image_size=SIDE)
    x = np.random.default_rng(0).uniform(0, 255, (2, SIDE, SIDE, 3))
    x = x.astype("float32")
    expected = keras.ops.convert_to_numpy(backbone(converter(x)))
    if kind != "ResNet":
        tokens = expected[:, PREFIX[kind] :]
        side = SIDE // PATCH
        expected = np.stack(
            [tokens[:, row * side : (row + 1) * side] for row in range(side)],
            axis=1,
        )
    np.testing.assert_allclose(base.predict_on_batch(x), expected, atol=1e-5)
    assert not base.trainable_weights


def test_other_images_are_resized_and_weights_can_be_random(preset):
    kind, folder, *_ = preset
    base = load_base(f"hub:{folder}", None, image_size=2 * SIDE)
    assert base.input_shape[1:3] == (2 * SIDE, 2 * SIDE) or kind == "ResNet"
    first = load_base(f"hub:{folder}").get_weights()
    drawn = base.get_weights()
    assert any(not np.allclose(a, b) for a, b in zip(first, drawn, strict=True))


def test_all_the_way_to_the_phone(preset, run_dir, tmp_path):
    _, folder, *_ = preset
    run = load_run(run_dir)
    front, back = cut_base(load_base(f"hub:{folder}", image_size=SIDE), None)
    used = np.sort(np.concatenate([run.train, run.validation, run.test]))
    maps = extract_features(front, run.images, used, name="front")
    assert maps[used].any()
    head = build_head(maps.shape[-1:], 2)
    model = join(front, back, head)
    x = run.images[run.test].astype("float32")
    answers = model.predict_on_batch(x)
    history = {"loss": [1.0], "seconds": [1.0]}
    save_result(run_dir, "hub", model, answers, history, base=f"hub:{folder}")
    path = run_dir / "models/hub.keras"
    photos = sorted((tmp_path / "photos").rglob("*.png"))[:3]
    assert {r["class"] for r in predict(path, photos)} <= {"cat", "dog"}
    assert heat_map(model, x[:2]).shape == (2, *maps.shape[1:3])
    if keras.backend.backend() == "tensorflow":
        found = export(path, "litert", tmp_path / "phone")
        assert found["parity"]["class_agreement"] == 1


def test_a_missing_package_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match="pip install keras-hub"):
        load_base("hub:dinov2_small")
