"""The other side in PyTorch computes what Keras computes."""

import keras
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from benchmarks.peers_torch import convert, load

pytestmark = pytest.mark.backend


def test_a_converted_network_gives_the_same_features():
    keras.utils.set_random_seed(0)
    base = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.35
    )
    x = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3))
    expected = base.predict_on_batch(x.astype("float32"))
    with torch.inference_mode():
        images = torch.tensor(x.transpose(0, 3, 1, 2), dtype=torch.float32)
        found = convert(base).eval()(images).numpy()
    found = found.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert expected.std() > 0


def test_photographs_are_loaded_with_their_labels(tmp_path):
    for number, kind in enumerate(("Cat", "Dog")):
        image = np.full((8, 8, 3), 100 * number, "uint8")
        (tmp_path / kind).mkdir()
        keras.utils.save_img(tmp_path / kind / "1.jpg", image, scale=False)
    ((x, y),) = load(tmp_path, 4)
    assert y.tolist() == [0, 1]
    assert x.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0, 100], abs=2)
