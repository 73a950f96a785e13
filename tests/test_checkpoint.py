"""A training that was killed goes on, and ends as if it had not been."""

import random
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import refused

from catdog_helpers.machine.failures import explain_memory
from catdog_helpers.training import Checkpoint

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 6
# Dropout, a schedule, augmented batches: all that has a state of its own.
TRAINING = """
import sys, json, time
import keras, numpy as np
from catdog_helpers import Batches, Checkpoint, TimeHistory

folder, epochs, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
keras.utils.set_random_seed(0)
images = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 3), "uint8")
labels = np.arange(48) % 2
model = keras.Sequential([
    keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255),
    keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(),
    keras.layers.Flatten(), keras.layers.Dropout(0.3),
    keras.layers.Dense(2, activation="softmax"),
])
schedule = keras.optimizers.schedules.CosineDecay(1e-2, epochs * 3)
model.compile(keras.optimizers.AdamW(schedule),
              "sparse_categorical_crossentropy", metrics=["accuracy"])
checkpoint = Checkpoint(f"{folder}/state.npz", model, epochs, key={"a": 1})
print("from", checkpoint.epoch, flush=True)
batches = Batches(images, labels, np.arange(36), batch_size=12, shuffle=True,
                  augment=True, epoch=checkpoint.epoch)
def rest(epoch, logs):
    print("epoch", epoch + 1, flush=True)
    time.sleep(pause)

slow = keras.callbacks.LambdaCallback(on_epoch_end=rest)
with checkpoint:
    model.fit(batches, initial_epoch=checkpoint.epoch, epochs=epochs,
              validation_data=Batches(images, labels, np.arange(36, 48)),
              verbose=0, shuffle=False,
              callbacks=[TimeHistory(), slow, checkpoint])
last = model.get_weights()
np.savez(f"{folder}/ended.npz", *last, *model.get_weights(),
         *map(np.array, (checkpoint.history[k] for k in
                         ("loss", "val_loss", "accuracy", "val_accuracy"))))
seconds = checkpoint.history["seconds"]
assert len(seconds) == epochs and seconds == sorted(seconds), seconds
checkpoint.remove()
"""


def start(folder: Path, pause: float = 0.0) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    arguments = map(str, (folder, EPOCHS, pause))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", TRAINING, *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)


def ended(folder: Path) -> list[np.ndarray]:
    with np.load(folder / "ended.npz") as file:
        return [file[name] for name in file.files]


def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path):
    """SIGKILL at random moments, in epochs and in saving."""
    undisturbed = start(tmp_path / "whole")
    _, said = undisturbed.communicate()
    assert undisturbed.returncode == 0, said
    rng, folder, starts = random.Random(1), tmp_path / "killed", []
    for kill_after in (2, 1, None):
        process = start(folder, pause=0.1)
        starts.append(int(process.stdout.readline().split()[1]))
        if kill_after:
            for _ in range(kill_after):
                process.stdout.readline()
            time.sleep(rng.uniform(0.05, 0.3))  # the next epoch, or saving
            process.kill()
            process.communicate()
            assert not (folder / "ended.npz").exists()
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert starts[0] < starts[1] < starts[2], starts  # each did go on
    pairs = zip(ended(tmp_path / "whole"), ended(folder), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)  # to the last digit, on a CPU
    assert not list(folder.glob("state*"))


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def fit(model, checkpoint, **options):
    x, y = np.ones((4, 3)), np.arange(4) % 2
    callbacks = [*options.pop("before", ()), checkpoint]
    with checkpoint:
        model.fit(
            x,
            y,
            validation_data=(x, y),
            initial_epoch=checkpoint.epoch,
            verbose=0,
            callbacks=callbacks,
            **{"epochs": checkpoint.epochs, **options},
        )


def stop_after(n, error):
    """A callback that fails in the epoch after the n-th."""

    def stop(epoch, logs):
        if epoch == n:
            raise error

    return keras.callbacks.LambdaCallback(on_epoch_begin=stop)


def after_epochs(note):
    """A callback that calls `note(epoch, logs)` at the end of each epoch."""
    return keras.callbacks.LambdaCallback(on_epoch_end=note)


def test_after_ctrl_c_the_cell_runs_again(model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.npz", model, 5)
    stop = stop_after(3, KeyboardInterrupt())
    match = "after epoch 3 of 5"
    refused(KeyboardInterrupt, match, fit, model, checkpoint, before=[stop])
    kept = model.get_weights()
    model.set_weights([weight * 0 for weight in kept])  # half an epoch more
    seen = []

    def look(epoch, logs):
        seen.append((epoch, model.get_weights()))

    begins = keras.callbacks.LambdaCallback(on_epoch_begin=look)
    fit(model, checkpoint, before=[begins])
    assert [n for n, _ in seen] == [3, 4]
    np.testing.assert_array_equal(seen[0][1][0], kept[0])
    assert len(checkpoint.history["val_loss"]) == 5


def test_the_state_of_another_training_is_not_used(model, tmp_path):
    path = tmp_path / "state.npz"
    stop = stop_after(2, RuntimeError("stop"))
    with pytest.raises(RuntimeError, match="stop"):
        fit(model, Checkpoint(path, model, 4), before=[stop])
    keras.utils.set_random_seed(0)
    fresh = keras.models.clone_model(model)
    with pytest.warns(UserWarning, match="another training: starts at epoch 1"):
        assert Checkpoint(path, fresh, 4, key={"rate": 1}).epoch == 0
    path.write_bytes(path.read_bytes()[:300])
    with pytest.warns(UserWarning, match="is damaged"):
        assert Checkpoint(path, model, 4).epoch == 0


def test_no_training_goes_on_with_zero_epochs(model, tmp_path):
    start = model.get_weights()
    checkpoint = Checkpoint(tmp_path / "state.npz", model, 3)
    fit(model, checkpoint)
    ended = model.get_weights()
    model.set_weights(start)
    again = Checkpoint(tmp_path / "state.npz", model, 3)
    assert again.epoch == 2
    fit(model, again)
    for a, b in zip(ended, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.history["loss"] == checkpoint.history["loss"]
    again.remove()
    assert not list(tmp_path.iterdir())


def test_the_best_epoch_comes_back(model, tmp_path):
    weights, losses = [], [0.5, 0.2, 0.9, float("nan")]

    def note(epoch, logs):
        weights.append(model.get_weights()[0])
        logs["val_loss"] = losses[epoch]

    checkpoint = Checkpoint(tmp_path / "state.npz", model, 4)
    fit(model, checkpoint, before=[after_epochs(note)])
    np.testing.assert_array_equal(model.get_weights()[0], weights[1])


@pytest.mark.parametrize("killed_after", [None, 2, 3])
def test_the_best_is_of_the_last_fit(model, tmp_path, killed_after):
    """Small pictures first: their losses are not those of large ones."""
    losses, weights = [0.1, 0.2, 0.5, 0.6], []

    def note(epoch, logs):
        weights[epoch:] = [model.get_weights()[0]]
        logs["val_loss"] = losses[epoch]

    def train(checkpoint, *before):
        for until in (2, 4):
            if checkpoint.epoch < until:
                fit(model, checkpoint, before=before, epochs=until)

    path = tmp_path / "state.npz"
    start = model.get_weights()
    pretend = after_epochs(note)
    if killed_after:
        stop = stop_after(killed_after, RuntimeError("killed"))
        with pytest.raises(RuntimeError, match="killed"):
            train(Checkpoint(path, model, 4), pretend, stop)
        model.set_weights(start)  # as the next process has it
    checkpoint = Checkpoint(path, model, 4)
    assert checkpoint.epoch == (killed_after or 0)
    train(checkpoint, pretend)
    assert checkpoint.history["val_loss"] == losses
    np.testing.assert_array_equal(model.get_weights()[0], weights[2])


def test_a_full_disk_is_said_and_training_goes_on(model, tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "state.npz", model, 3)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match="could not be saved.*No space left"):
        fit(model, checkpoint)
    assert checkpoint.epoch == 3


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying"),
        type("ResourceExhaustedError", (Exception,), {})("OOM when allocating"),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory."),
    ],
    ids=["python", "jax", "tensorflow", "torch"],
)
def test_out_of_memory_names_a_smaller_batch(error, model, tmp_path):
    checkpoint = Checkpoint(tmp_path / "s.npz", model, 3, batch_size=32)
    before = [stop_after(1, error)]
    match = "`batch_size` 16"
    refused(MemoryError, match, fit, model, checkpoint, before=before)


def test_other_errors_stay_as_they_are():
    with pytest.raises(KeyError, match="nothing"), explain_memory(8):
        raise KeyError("nothing")
