"""Train a network: resume after an interruption, time it, weigh classes."""

import hashlib
import json
import time
import warnings
from pathlib import Path

import keras
import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from catdog_helpers.machine.backend import random_state, set_random_state
from catdog_helpers.machine.failures import explain_memory
from catdog_helpers.machine.files import read_arrays, write_arrays
from catdog_helpers.machine.networks import weights_sha256
from catdog_helpers.machine.persist import lasting

UNEVEN = 3  # times as many images as the smallest class: then weights help


class Checkpoint(keras.callbacks.Callback):
    """Save the state of a training after each epoch, and resume from there.

    Use it around `fit` (`with checkpoint:`) and as the last of its callbacks,
    with `initial_epoch=checkpoint.epoch`. Its file is replaced atomically:
    whenever the process is killed, the file holds a complete epoch. Nothing
    is written after the last epoch, so that no training resumes with zero
    epochs. At the end of the block, the model has the weights with the least
    validation loss. If `fit` is called several times, with images of different
    sizes, only the last call counts, since losses on images of different
    sizes cannot be compared.

    Args:
        path: The `.npz` file: weights, optimizer, history, best weights.
        model: The model to train, with its first weights.
        epochs: Number of epochs in all.
        batch_size: Reported if memory runs out.
        key: What the training depends on besides these weights: data, dials.
            The state of another training is not used, with a warning.

    Attributes:
        epoch: Number of completed epochs.
        history: Name to one value for each of them, as `fit` returns it;
            `seconds`, if present, continue those before the interruption.
    """

    def __init__(
        self,
        path: str | Path,
        model: keras.Model,
        epochs: int,
        *,
        batch_size: int = 32,
        key: list | dict | None = None,
    ):
        super().__init__()
        self.path, self.epochs = lasting(path), epochs
        self.batch_size = batch_size
        parts = [weights_sha256(model), epochs, batch_size, key]
        text = json.dumps(parts, sort_keys=True, default=str)
        self.key = hashlib.sha256(text.encode()).hexdigest()
        self._load()

    def __enter__(self):
        """Read the saved state again if the cell was stopped before."""
        if self._state is None:
            self._load()
        self._memory = explain_memory(self.batch_size)
        self._memory.__enter__()
        return self

    def __exit__(self, kind, error, traceback):
        """Restore the best weights, or say in one line what stopped `fit`."""
        if kind is None:
            self.model.set_weights(self._best)
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(
                f"stopped after epoch {self.epoch} of {self.epochs}: run the "
                "cell again, and it goes on from there"
            ) from None
        return self._memory.__exit__(kind, error, traceback)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restore the saved state, or save the one that training starts from.

        Args:
            logs: Empty.
        """
        if self.params["epochs"] != self._until:  # another call of `fit`
            self._until, self._least = self.params["epochs"], np.inf
            self._best = []
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        if self._state is not None:
            values = zip(self._variables(), self._state, strict=True)
            for variable, value in values:
                variable.assign(value)
            set_random_state(self._random)
            self._state = None
        elif not self.epoch:
            self._save()

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Record the epoch; save the state unless it was the last one.

        Args:
            epoch: Its number, from 0.
            logs: What `fit` measured, with `val_loss`.
        """
        if "seconds" in logs:
            logs["seconds"] += self._seconds_before
        if logs["val_loss"] < self._least or not self._best:
            self._best = self.model.get_weights()
            self._least = float(np.fmin(logs["val_loss"], np.inf))  # not nan
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        self.epoch = epoch + 1
        if self.epoch < self.epochs and not self.model.stop_training:
            self._save()

    def remove(self) -> None:
        """Delete the file, once the trained model is saved."""
        self.path.unlink(missing_ok=True)

    def _variables(self) -> list:
        """Return all that an epoch changes: weights, seeds, optimizer."""
        return [*self.model.variables, *self.model.optimizer.variables]

    def _load(self) -> None:
        self.epoch, self.history = 0, {}
        self._best, self._state, self._random = [], None, []
        self._until, self._least, self._seconds_before = 0, np.inf, 0.0
        if kept := _read(self.path, self.key):
            known, self._state, self._best, self._random = kept
            self.epoch, self.history = known["epoch"], known["history"]
            self._until, self._least = known["until"], known["least"]
            self._seconds_before = self.history.get("seconds", [0.0])[-1]

    def _save(self) -> None:
        known = {"key": self.key, "epoch": self.epoch, "history": self.history}
        known |= {"until": self._until, "least": self._least}
        lists = {
            "state": map(keras.ops.convert_to_numpy, self._variables()),
            "best": self._best,
            "random": random_state(),
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(self.path, known, lists)
        except OSError as error:  # e.g. a full disk; the old file is unchanged
            reason = f"epoch {self.epoch} could not be saved in {self.path}"
            warnings.warn(f"{reason}: {error.strerror}", stacklevel=2)


def _read(path: Path, key: str) -> tuple | None:
    """Read a saved state, unless it is damaged or of another training."""
    if not path.is_file():
        return None
    why = "is of another training"
    try:
        known, lists = read_arrays(path, "state", "best", "random")
        if known["key"] == key:
            return known, *lists
    except Exception as error:  # a damaged file can raise nearly anything
        why = f"is damaged ({error})"
    warnings.warn(f"{path} {why}: starts at epoch 1", stacklevel=4)
    return None


def class_weights(labels: np.ndarray) -> dict[int, float] | None:
    """Weigh the classes of unbalanced data, so that each counts the same.

    Args:
        labels: Shape `(n,)`, class numbers of the training images.

    Returns:
        For `fit(class_weight=...)`: class number to weight, with a mean of 1
        per image. `None` if no class has more than 3 times as many images as
        another.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if counts.max() <= UNEVEN * counts.min():
        return None
    weights = compute_class_weight("balanced", classes=classes, y=labels)
    return dict(zip(classes.tolist(), weights.tolist(), strict=True))


class TimeHistory(keras.callbacks.Callback):
    """Add to the history the `seconds` since training began, each epoch.

    Put it first among the callbacks, so that the others see the seconds.
    """

    def __init__(self):
        super().__init__()
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Record the time.

        Args:
            epoch: Its number, from 0.
            logs: What `fit` measured; `seconds` is added.
        """
        logs["seconds"] = time.perf_counter() - self._start
