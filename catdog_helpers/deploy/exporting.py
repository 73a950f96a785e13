"""Write a model for use without Keras, each file checked as it is written."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from catdog_helpers.data.runs import load_run
from catdog_helpers.deploy.formats import FILES, explain, write_file
from catdog_helpers.deploy.parity import check_parity, compare, run_exported
from catdog_helpers.deploy.webpage import write_page
from catdog_helpers.machine.files import write_json
from catdog_helpers.models import in_batches
from catdog_helpers.prediction.predictor import BORDER
from catdog_helpers.saving import load_model, load_uncertainty
from catdog_helpers.uncertainty import with_distance

N_PARITY, N_CALIBRATION = 1000, 200  # images taken from a run
CARD = ("class_names", "image_size", "base", "method", "weights_sha256")
CARD += ("not_sure_below", "temperature")


def export(
    model,
    format: str,
    folder: str | Path,
    *,
    card: dict | None = None,
    images: np.ndarray | None = None,
    int8_images: np.ndarray | None = None,
    uncertainty: dict | None = None,
    runtime: str | Path | None = None,
) -> dict:
    """Export a model and check at once that the file answers as it does.

    The input of every file is float32 RGB in [0, 255] of shape `(n,
    image_size, image_size, 3)`, as `read_image` gives it; the outputs are the
    probabilities and, with `uncertainty`, each image's distance. The result
    is also written beside the file, as `<file>.json` ("web": `model.json`).

    Args:
        model: Path of a model that `save_model` wrote, or a `keras.Model`.
        format: "onnx"; "litert"; "saved_model"; or "web": a page that runs
            the model in the browser, for any static host.
        folder: Where to; what is there of the same name is replaced.
        card: As for `save_model`; needed only with a `keras.Model`. The web
            page also heeds `not_sure_below` and `temperature`.
        images: Images for the check, shape `(n, image_size, image_size, 3)`.
            Defaults to test images of the run that the path lies in.
        int8_images: Some 100 training images, for "litert" only: weights and
            activations are then rounded to 8 bits, in the ranges that these
            images cause (`model_int8.tflite`).
        uncertainty: What `measure_uncertainty` returned; defaults to what
            lies beside the path. The file then has
            its distance from the training images as a second output,
            shape `(n,)`; what `<file>.json` calls `strange_above` is the
            threshold. An int8 file is too coarse for it.
        runtime: For "web": the `dist` folder of the npm package
            onnxruntime-web, to be copied beside the page. Without it the
            page loads that from its content-delivery address.

    Returns:
        `file`, `format`, `bytes`, what the card says, and `parity`:
        `images`, `largest_difference`, `class_agreement`.

    Raises:
        ValueError: If this backend cannot write the format, there are no
            images, or the file answers differently (it is then not kept).
        ImportError: If a package is missing; the message names it.
    """
    int8 = int8_images is not None
    if format not in FILES or int8 and format != "litert":
        known = "litert" if int8 else ", ".join(FILES)
        raise ValueError(f"`format` must be {known}. Received: {format!r}")
    model, card, images, uncertainty = _load(model, card, images, uncertainty)
    name = "model_int8.tflite" if int8 else FILES[format]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
        file = Path(partial) / name
        whole = model if int8 else with_distance(model, uncertainty)
        try:
            write_file(whole, format, file, card["image_size"], int8_images)
            found = run_exported(file, images)
        except Exception as error:  # converters raise nearly anything
            raise explain(error, format) from None
        parity = compare(in_batches(whole.predict_on_batch, images), found)
        check_parity(parity, int8=int8)
        result = {"file": name, "format": format, "bytes": _size(file)}
        result |= {"not_sure_below": BORDER}
        result |= {key: card[key] for key in CARD if key in card}
        if uncertainty is not None:
            result["temperature"] = float(uncertainty["temperature"])
        if whole is not model:
            result["strange_above"] = float(uncertainty["threshold"])
        result["parity"] = parity
        json_name = "model.json" if format == "web" else f"{name}.json"
        write_json(Path(partial) / json_name, result)
        if format == "web":
            write_page(Path(partial), runtime)
        for path in Path(partial).iterdir():
            _replace(path, folder / path.name)
    return result


def run_images(model_path: str | Path, split: str, n: int) -> np.ndarray:
    """Take images of the run that a model belongs to.

    Args:
        model_path: `<run>/models/<method>.keras`.
        split: "train", "validation" or "test".
        n: At most how many.

    Returns:
        Array of shape `(n, image_size, image_size, 3)`, `uint8`.

    Raises:
        FileNotFoundError: If the model lies in no run.
    """
    run = load_run(Path(model_path).resolve().parents[1])
    rows = getattr(run, split)
    some = np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)
    return run.images[rows[some]]


def _load(model, card, images, uncertainty):
    """Read what was not given from where the model lies."""
    if not isinstance(model, (str, Path)):
        if card is None or images is None:
            raise ValueError("with a keras.Model, give `card` and `images`")
        return model, card, images, uncertainty
    path = Path(model)
    model, own = load_model(path)
    if images is None:
        try:
            images = run_images(path, "test", N_PARITY)
        except FileNotFoundError as error:
            raise ValueError(
                f"no images for the check ({error}): give "
                "`images`, or a model within a run"
            ) from None
    uncertainty = uncertainty or load_uncertainty(path, own)
    return model, own | (card or {}), images, uncertainty


def _size(path: Path) -> int:
    files = [path, *path.rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file())


def _replace(source: Path, target: Path) -> None:
    if target.is_dir():  # os.replace takes the place of files only
        shutil.rmtree(target)
    os.replace(source, target)
