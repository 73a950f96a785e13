"""Name what is on photographs, with a saved model."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from catdog_helpers.data.images import read_image
from catdog_helpers.data.names import NOT_SURE, UNREADABLE
from catdog_helpers.machine.engine import OPENVINO, choose, open_engine
from catdog_helpers.machine.failures import explain_memory
from catdog_helpers.machine.networks import layers_key
from catdog_helpers.prediction.answers import Answers
from catdog_helpers.prediction.photographs import (
    Photograph,
    Source,
    find_photographs,
)
from catdog_helpers.saving import load_model, load_uncertainty
from catdog_helpers.uncertainty import calibrate, with_distance

# Below this calibrated probability the verdict names two classes. Of 1,000
# validation photographs (head on MobileNetV2, 2,000 training photographs) 3 %
# were below, nearly half of them answered wrongly; of the others, 0.4 %.
BORDER = 0.8
MANY, COUNTED = 500, 5000  # photographs for which an engine is chosen


def predict(
    model_path: str | Path,
    sources: Source,
    *,
    batch_size: int = 32,
    mirror: bool = False,
    csv: str | Path | None = None,
    sort: str | Path | None = None,
    with_images: bool = False,
) -> Iterator[dict]:
    """Predict the class of photographs, one after the other.

    Photographs are decoded in threads while the model computes. Memory
    depends on `batch_size` and the model, not on their number.

    Args:
        model_path: A model that `save_model` wrote; its class names and image
            size come from the card beside it.
        sources: As for `find_photographs`: files, folders, patterns, zips,
            bytes, open files, PIL images, arrays.
        batch_size: Photographs at a time; changes only speed and memory.
        mirror: Average the answers to each photograph and its mirror image;
            takes twice as long.
        csv: A table to write row by row. If it exists, its rows are kept and
            their photographs not predicted again: a run that was stopped
            goes on. Photographs that failed are tried again.
        sort: A folder to copy the photographs to, one folder per verdict. It
            is not searched itself.
        with_images: Whether rows have the pixels, too, as `image` (`None`
            for an unreadable file).

    Yields:
        One dictionary per photograph: `path`; `class`, the likeliest one; its
        calibrated `probability` in [0, 1]; `verdict`: the class, or "cat or
        dog" (both are likely), or "not sure" (it is unlike the training
        images); and `error`, the reason why a file cannot be read (then
        `verdict` is "unreadable", `class` empty, `probability` nan).

    Raises:
        FileNotFoundError: If the model or what belongs to it is missing.
        ValueError: If these do not belong together, or `csv` is another
            table.
        OSError: If `csv` or `sort` cannot be written, or another process
            writes there.
        TypeError: If a source is not of one of these types.
        MemoryError: If `batch_size` photographs are too many at a time.
    """
    if batch_size < 1:
        raise ValueError(
            f"`batch_size` must be 1 or more. Received: {batch_size}"
        )
    answer, card = load_predictor(model_path, batch_size, mirror)
    name = f"{card['weights_sha256'][:12]}{' mirrored' if mirror else ''}"
    with Answers(csv, sort, model=name) as answers:

        def find() -> Iterator[Photograph]:
            found = find_photographs(sources, skip=sort)
            return (p for p in found if p.path not in answers)

        n_images, given = 0, sources if isinstance(sources, list) else [sources]
        if all(isinstance(x, (str, os.PathLike)) for x in given):
            n_images = sum(1 for _ in islice(find(), COUNTED))
        for photograph, x, row in answer(find(), n_images):
            answers.add(row, photograph)
            if with_images:
                row["image"] = None if isinstance(x, str) else x
            yield row


def load_predictor(
    model_path: str | Path, batch_size: int = 32, mirror: bool = False
) -> tuple[Callable, dict]:
    """Load a model, with what it takes to answer photograph by photograph.

    Args:
        model_path: As for `predict`.
        batch_size: As for `predict`.
        mirror: As for `predict`.

    Returns:
        answer: Function from photographs, as `find_photographs` yields them,
            to an iterator over: each of them, its pixels (or the reason why
            there are none), and its row as `predict` yields it. It also
            takes how many they are, if that is known.
        card: The model's card.
    """
    model, card = load_model(model_path)
    uncertainty = load_uncertainty(model_path, card)
    model = with_distance(model, uncertainty)

    def answer(photographs: Iterable[Photograph], n_images: int = 0):
        run = None
        decoded = _decode_ahead(photographs, card["image_size"], 4 * batch_size)
        while batch := list(islice(decoded, batch_size)):
            images = [x for _, x in batch if not isinstance(x, str)]
            outputs = iter(())
            if images:
                with explain_memory(batch_size):
                    # Always one shape: compiled once
                    x = np.zeros((batch_size, *images[0].shape), np.float32)
                    x[: len(images)] = images
                    run = run or _open(model, x, n_images)
                    outputs = _compute(run, x, uncertainty, mirror)
            for photograph, x in batch:
                row = {"path": photograph.path, "class": ""}
                row |= {"probability": np.nan, "verdict": UNREADABLE}
                if isinstance(x, str):
                    row["error"] = x
                else:
                    row |= judge(*next(outputs), card["class_names"])
                yield photograph, x, row

    return answer, card


def _open(model, x: np.ndarray, n_images: int) -> Callable:
    """Open OpenVINO for many photographs, if it is faster, or else Keras."""
    choice = "float32"
    if n_images >= MANY:
        choice = choose(model, x, n_images, layers_key(model))
    # Never 16 bits: they change the answers.
    return open_engine(model, OPENVINO if choice == OPENVINO else "float32", x)


def _compute(run, x: np.ndarray, uncertainty: dict | None, mirror: bool):
    """Yield the probabilities of each image, and whether it is strange."""
    views = [run(x), run(x[:, :, ::-1])] if mirror else [run(x)]
    probabilities, *far = (np.mean(y, axis=0) for y in zip(*views, strict=True))
    strange, temperature = [False] * len(x), 1.0
    if uncertainty:
        strange = far[0] > uncertainty["threshold"]
        temperature = uncertainty["temperature"]
    return zip(calibrate(probabilities, temperature), strange, strict=True)


def judge(probabilities: np.ndarray, strange: bool, names: list[str]) -> dict:
    """Return one row's class, probability, verdict and (no) error."""
    order = probabilities.argsort()[::-1]
    best, probability = names[order[0]], float(probabilities[order[0]])
    verdict = best
    if strange:
        verdict = NOT_SURE
    elif probability < BORDER:
        verdict = " or ".join(names[i] for i in sorted(order[:2]))
    row = {"class": best, "probability": probability}
    return row | {"verdict": verdict, "error": ""}


def _decode_ahead(
    photographs: Iterable[Photograph], image_size: int, ahead: int
) -> Iterator[tuple[Photograph, np.ndarray | str]]:
    """Read photographs in threads, in order, at most `ahead` of the reader."""
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    waiting = deque()
    try:
        for photograph in photographs:
            pixels = pool.submit(_decode, photograph, image_size)
            waiting.append((photograph, pixels))
            if len(waiting) > ahead:
                photograph, pixels = waiting.popleft()
                yield photograph, pixels.result()
        for photograph, pixels in waiting:
            yield photograph, pixels.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(photograph: Photograph, image_size: int) -> np.ndarray | str:
    """Return the pixels, or the reason why there are none."""
    try:
        return read_image(photograph.read(), image_size)
    except FileNotFoundError:
        return "no such file"
    except (ValueError, OSError) as error:
        return " ".join(str(error).split())
