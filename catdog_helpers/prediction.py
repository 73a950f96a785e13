"""Name what is on photographs, with a saved model."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from catdog_helpers.archive import IMAGES, is_clutter
from catdog_helpers.guards import check_outputs
from catdog_helpers.images import read_image
from catdog_helpers.saving import load_model


def predict(
    model_path: str | Path,
    paths: Iterable[str | Path],
    *,
    batch_size: int = 32,
) -> Iterator[dict]:
    """Predict the class of photographs, one after the other.

    Args:
        model_path: A model that `save_model` wrote; its class names and image
            size come from the card beside it.
        paths: Files, and folders to search for photographs.
        batch_size: Photographs at a time; memory depends on nothing else.

    Yields:
        One dictionary per photograph: `path`, `class`, `probability` of that
        class in [0, 1], and `error`, the reason why a file cannot be read
        (then `class` is empty and `probability` is nan).

    Raises:
        FileNotFoundError: If the model is missing.
        ValueError: If it does not have one output for each class name.
    """
    model, card = load_model(model_path)
    names, image_size = card["class_names"], card["image_size"]
    check_outputs(model.output_shape[-1], names)
    files = list(find_photographs(paths))
    with ThreadPoolExecutor() as pool:
        for first in range(0, len(files), batch_size):
            batch = files[first : first + batch_size]
            found = list(pool.map(lambda f: _try(f, image_size), batch))
            images = [x for x in found if not isinstance(x, str)]
            outputs = iter(())
            if images:
                outputs = iter(model.predict_on_batch(np.stack(images)))
            for path, x in zip(batch, found, strict=True):
                row = {"path": str(path), "class": "", "probability": np.nan}
                if isinstance(x, str):
                    yield row | {"error": x}
                    continue
                output = next(outputs)
                best = int(output.argmax())
                answer = {"class": names[best], "error": ""}
                yield row | answer | {"probability": float(output[best])}


def find_photographs(paths: Iterable[str | Path]) -> Iterator[Path]:
    """List files as they are, and the photographs inside folders.

    Args:
        paths: Files and folders.

    Yields:
        Paths; those of a folder sorted, with all that its folders hold.
    """
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file())
            photographs = (p for p in inside if p.suffix.lower() in IMAGES)
            yield from (p for p in photographs if not is_clutter(p.name))
        else:
            yield path


def _try(path: Path, image_size: int) -> np.ndarray | str:
    """The pixels, or the reason why there are none."""
    try:
        return read_image(path, image_size)
    except FileNotFoundError:
        return "no such file"
    except (ValueError, OSError) as error:
        return str(error)
