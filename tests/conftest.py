"""What all tests share."""

import io
import os
import signal
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catdog_helpers.__main__ import main
from catdog_helpers.machine.backend import use_backend

# Before matplotlib is first imported
os.environ["MPLBACKEND"] = "agg"
use_backend()  # as the notebooks do
# A shell's background job ignores Ctrl-C, and so would the programs that the
# tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


# What computes with Keras; of bases and exports TensorFlow's run is enough.
BACKEND = {
    "backend",
    "batches",
    "checkpoint",
    "costs",
    "data_size",
    "devices",
    "evaluation",
    "features",
    "guards",
    "heatmaps",
    "notebooks_run",
    "precision",
    "prediction",
    "saving",
    "transfer",
    "uncertainty",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark `backend` by module, and `real` whatever asks for `shared`."""
    for item in items:
        if item.path.stem.removeprefix("test_") in BACKEND:
            item.add_marker("backend")
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker("real")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real photographs and weights beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no real photographs and weights at {SHARED}")
    return SHARED


def run_command(*arguments) -> tuple[int, list[str], str]:
    """Run `catdog`; return its status, the lines it printed, its errors."""
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        status = main(list(map(str, arguments)))
    return status, out.getvalue().splitlines(), error.getvalue()


def refused(error: type, match: str, function, *arguments, **options) -> str:
    """Return the message of an error, which must be one line."""
    with pytest.raises(error, match=match) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def picture(seed: int, side: int = 40) -> np.ndarray:
    """Return soft blobs of random colours: no two seeds look alike."""
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype="uint8"))
    return np.asarray(blobs.resize((side, side), Image.Resampling.BILINEAR))


def pixels(n: int, side: int, dtype: str = "float32") -> np.ndarray:
    """Return random images, always the same."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, side, side, 3)).astype(dtype)


def answer(model, x) -> np.ndarray:
    """Run a model without the seconds that compiling it would take."""
    import keras

    return keras.ops.convert_to_numpy(model(x, training=False))


@pytest.fixture
def photographs():
    """Function that fills a folder with PNG files, one folder a class."""

    def fill(folder: Path, counts: dict[str, int], side: int = 40) -> Path:
        seed = 0
        for name, count in counts.items():
            (folder / name).mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(picture(seed := seed + 1, side))
                image.save(folder / name / f"{i:03d}.png")
        return folder

    return fill


@pytest.fixture
def run_dir(tmp_path, photographs) -> Path:
    """Directory of a run after notebook 01: 40 pictures, split 24, 8, 8."""
    from catdog_helpers import prepare, save_split, split

    folder = photographs(tmp_path / "photos", {"cat": 20, "dog": 20}, side=16)
    images, manifest = prepare(folder, tmp_path / "data", 16, workers=1)
    manifest = split(manifest, train=24, validation=8, test=8)
    out, names = tmp_path / "run", {"dataset": "tiny", "folder": folder}
    save_split(out, images, manifest, **names, seed=0)
    return out


def make_model(seed: int = 0, first: tuple = ()):
    """Build a small untrained model for the pictures of `run_dir`."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            *first,
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )


def pictures_to_test(out: Path) -> np.ndarray:
    """Return the test images of a run, as a model takes them."""
    from catdog_helpers.data.runs import load_run

    run = load_run(out)
    return run.images[run.test].astype("float32")


HISTORY = {"loss": [1.0, 0.5], "val_loss": [1.0, 0.6], "seconds": [1.5, 2.5]}


def save_method(
    out: Path, method: str = "scratch_cnn", model=None, seed=0, **options
) -> dict:
    """Save the result of a small model, as a notebook would."""
    from catdog_helpers.evaluation import save_result

    model = model or make_model(seed)
    y = model.predict_on_batch(pictures_to_test(out))
    return save_result(out, method, model, y, HISTORY, **options)
