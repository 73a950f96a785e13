"""Several devices give what one gives, and each of them works."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from catdog_helpers.machine.devices import fill_up, use_devices

ROOT = Path(__file__).resolve().parents[2]
BACKEND = keras.config.backend()
only = pytest.mark.skipif(BACKEND == "torch", reason="Keras has no way there")
# Training has batches of 12, 12, 12 and 4 rows, validation one of 23, and
# what is extracted 12 and 5: some cannot be shared out evenly.
WORK = """
import json, sys
number = int(sys.argv[1]) or None
import keras
if keras.config.backend() == "tensorflow":
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * 4
    tf.config.set_logical_device_configuration(cpu, parts)
import numpy as np
import catdog_helpers as ch
from catdog_helpers.machine.devices import n_devices
from keras import layers
sys.path.insert(0, "tests")
from conftest import picture
from PIL import Image
from pathlib import Path

folder = Path(sys.argv[2])
for i in range(17):
    path = folder / "photos" / "ab"[i % 2] / f"{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(i, 8)).save(path)
keras.utils.set_random_seed(0)
images = np.random.default_rng(0).integers(0, 256, (63, 8, 8, 3), "uint8")
labels = np.arange(63) % 2
model = keras.Sequential([
    keras.Input((8, 8, 3)), layers.Rescaling(1 / 255),
    layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization(),
    layers.Activation("relu"), layers.GlobalAveragePooling2D(),
    layers.Dense(2, activation="softmax"),
])
one = model
one.trainable = False
prepared, _ = ch.prepare(folder / "photos", folder, 8)
features = ch.extract_features(
    one, prepared, np.arange(17), name="x", batch_size=12 // (number or 1),
    precision="float32", dtype="float32",
)
assert n_devices() == 1
one.trainable = True
model = ch.for_training(model, "float32")
used = n_devices()
model.compile(keras.optimizers.Adam(1e-2),
              "sparse_categorical_crossentropy", metrics=["accuracy"])
batches = ch.Batches(images, labels, np.arange(40), batch_size=12,
                     shuffle=True)
checkpoint = ch.Checkpoint(folder / "c.npz", model, 3)
with ch.guard_weights(model, moving_averages=True), checkpoint:
    history = model.fit(
        batches, epochs=3, verbose=0, shuffle=False,
        validation_data=ch.Batches(images, labels, np.arange(40, 63)),
        class_weight={0: 1.0, 1: 1.2}, callbacks=[checkpoint],
    ).history
kernel = model.layers[1].kernel
if keras.config.backend() == "jax":
    devices = len(kernel.value.sharding.device_set)
else:
    devices = len(getattr(kernel.value, "values", [kernel]))
trained = [np.array(w) for w in model.get_weights()]
model = ch.for_saving(model)
model.save(folder / "model.keras")
x = images.astype("float32")
print(json.dumps({
    "used": used, "devices": devices, "back": n_devices(),
    "loss": history["loss"], "features": features.tolist(),
    "weights": [w.tolist() for w in trained],
    "answers": model.predict_on_batch(x[:5]).tolist(),
    "reloaded": keras.models.load_model(folder / "model.keras")
        .predict(x, verbose=0).tolist(),
}))
"""


def work(number: int, folder: Path) -> dict:
    flag = "--xla_force_host_platform_device_count=4"
    command = [sys.executable, "-c", WORK, str(number), str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flag, "CATDOG_DEVICES": str(number)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return work(0, tmp_path_factory.mktemp("one"))


@only
@pytest.mark.parametrize("number", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_devices_give_what_one_gives(number, one, tmp_path):
    several = work(number, tmp_path)
    assert (one["used"], one["devices"], one["back"]) == (1, 1, 1)
    assert several["used"] == several["devices"] == number
    assert several["back"] == 1
    for name in ("features", "loss", "answers", "reloaded"):
        found, expected = np.array(several[name]), np.array(one[name])
        assert found.shape == expected.shape, name
        # Shares are summed up in another order.
        np.testing.assert_allclose(found, expected, atol=5e-4, err_msg=name)
    for found, expected in zip(several["weights"], one["weights"], strict=True):
        np.testing.assert_allclose(found, expected, atol=5e-3)


def test_more_devices_than_there_are_and_none_under_pytorch_are_refused():
    with pytest.raises(ValueError, match="JAX can use several.*Received: 99"):
        use_devices(99)


@pytest.mark.parametrize("n", [0, 1, 5, 8, 9])
def test_the_first_rows_fill_the_last_batch_up(n, monkeypatch):
    monkeypatch.setattr("catdog_helpers.machine.devices.n_devices", lambda: 4)
    rows = np.arange(n) + 100
    filled = fill_up(rows)
    assert len(filled) % 4 == 0
    assert len(filled) - n < 4
    assert list(filled[:n]) == list(rows)
    assert set(filled) == set(rows)


def test_a_batch_that_cannot_be_shared_is_said(monkeypatch):
    from catdog_helpers import batches

    monkeypatch.setattr(batches, "n_devices", lambda: 3)
    images = np.zeros((9, 4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="multiple of the 3 devices"):
        batches.Batches(images, np.zeros(9), batch_size=32)
