"""Write a model for use without Keras, each file checked as it is written."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from catdog_helpers.data.runs import load_run
from catdog_helpers.deploy.formats import (
    FILES,
    explain,
    with_answers,
    write_file,
)
from catdog_helpers.deploy.hub import write_hub
from catdog_helpers.deploy.parity import (
    check_parity,
    compare,
    run_exported,
    run_original,
)
from catdog_helpers.deploy.webpage import find_runtime, write_page
from catdog_helpers.machine.files import write_json
from catdog_helpers.prediction.predictor import BORDER
from catdog_helpers.saving import load_model, load_uncertainty

N_PARITY, N_CALIBRATION = 1000, 200  # images taken from a run
# The threshold is the distance of a validation image, which is not above it.
ROUNDING = 1e-5
CARD = ("class_names", "image_size", "base", "method", "weights_sha256")
CARD += ("trained_on",)


def export(
    model_path: str | Path,
    format: str,
    folder: str | Path,
    *,
    images: np.ndarray | None = None,
    int8: bool = False,
    runtime: str | Path | None = None,
) -> dict:
    """Export a model and check that the file answers as `predict` does.

    The input `image` of every file is float32 RGB in [0, 255] of shape `(n,
    image_size, image_size, 3)`, as `read_image` gives it, with `n` = 1 for
    LiteRT. The outputs are the calibrated `probabilities` and, where the
    model has measured it, each image's `distance` from the training images.
    What makes a verdict of them is returned, and written beside the file as
    `<file>.json` ("web": `model.json`).

    Args:
        model_path: A model that `save_model` wrote.
        format: "onnx"; "litert"; "saved_model"; "web": a page that runs the
            model in the browser, for any static host; or "card": the model,
            not converted, with a card for a model hub.
        folder: Where to; what is there of the same name is replaced.
        images: Images for the check, shape `(n, image_size, image_size, 3)`.
            Defaults to test images of the run that the model lies in.
        int8: For "litert": round weights and activations to 8 bits, in the
            ranges that `images` cause, or else training images of the run
            (`model_int8.tflite`). Such a file is too coarse for the distance.
        runtime: For "web": a folder with the files of LiteRT.js; `None`
            downloads them once. See `find_runtime`.

    Returns:
        `file`, `format`, `bytes`, what the card says, `not_sure_below` (a
        less probable class is one of two), with a distance `strange_above`
        (a farther image is "not sure"), and `parity`: see `compare`. Of a
        card only the first three.

    Raises:
        ValueError: If this backend cannot write the format, there are no
            images, or the file answers differently (it is then not kept).
        ImportError: If a package is missing; the message names it.
        ConnectionError: If LiteRT.js cannot be downloaded.
    """
    path, folder = Path(model_path), Path(folder)
    if format not in FILES or int8 and format != "litert":
        known = "litert with `int8`" if int8 else ", ".join(FILES)
        raise ValueError(f"`format` must be {known}. Received: {format!r}")
    if format == "web":
        runtime = find_runtime(runtime)
    with _partial_folder(folder) as partial:
        if format == "card":
            write_hub(path, partial)
            n_bytes = _size(partial)
            return {"file": "README.md", "format": format, "bytes": n_bytes}
        about = _write(path, format, partial, images, int8)
        name = "model" if format == "web" else about["file"]
        write_json(partial / f"{name}.json", about)
        if format == "web":
            write_page(partial, runtime)
    return about


def _write(path: Path, format: str, folder: Path, images, int8: bool) -> dict:
    """Write a file, compare it with the model, and return what is known."""
    model, card = load_model(path)
    uncertainty, ranges = load_uncertainty(path, card), None
    if int8:
        given = images is not None
        ranges = images if given else _images(path, "train", N_CALIBRATION)
    if images is None:
        images = _images(path, "test", N_PARITY)
    file = folder / ("model_int8.tflite" if int8 else FILES[format])
    about = {"file": file.name, "format": format, "not_sure_below": BORDER}
    about |= {key: card[key] for key in CARD if key in card}
    if uncertainty is not None and not int8:
        about["strange_above"] = ROUNDING + float(uncertainty["threshold"])
    whole = with_answers(model, uncertainty, far=not int8)
    try:
        write_file(whole, format, file, card["image_size"], ranges)
        found = run_exported(file, images)
    except Exception as error:  # converters raise nearly anything
        raise explain(error, format) from None
    expected = run_original(model, uncertainty, images)
    parity = compare(expected, found, about)
    check_parity(parity, int8=int8)
    return about | {"bytes": _size(file), "parity": parity}


@contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder within `folder`, whose content then moves up.

    What a killed export has left there is deleted first: the folder may be
    published as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".partial-*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
        yield Path(partial)
        for path in Path(partial).iterdir():
            target = folder / path.name
            if target.is_dir():  # os.replace replaces files only
                shutil.rmtree(target)
            os.replace(path, target)


def _images(path: Path, split: str, n: int) -> np.ndarray:
    """Take up to `n` images of the run that a model lies in."""
    try:
        run = load_run(path.resolve().parents[1])
    except FileNotFoundError as error:
        raise ValueError(
            f"no images for the check ({error}): give `images`, or a model "
            "within a run"
        ) from None
    rows = getattr(run, split)
    some = np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)
    return run.images[rows[some]]


def _size(path: Path) -> int:
    files = [path, *path.rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file())
