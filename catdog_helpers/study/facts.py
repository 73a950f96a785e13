"""What can be told from a file without looking at what it shows."""

from pathlib import Path

import numpy as np
import pandas as pd


def file_facts(
    manifest: pd.DataFrame, folder: str | Path, images: np.ndarray
) -> pd.DataFrame:
    """List facts about image files that should tell nothing of their class.

    If a classifier learns the classes from them, the classes were collected
    in different ways, and a network may have learned that instead.

    Args:
        manifest: One row per image, with `path`, `width`, `height`, `format`.
        folder: Where the files lie.
        images: Shape `(n, height, width, 3)`, the same images prepared.

    Returns:
        One row per image, numbers only: `bytes` of the file (0 if it is no
        longer there), `width`, `height`, their ratio `shape`, a column of 0
        or 1 for each file format, and the mean `red`, `green` and `blue`.
    """
    paths = [Path(folder) / path for path in manifest["path"]]
    facts = manifest[["width", "height"]].astype(float)
    facts["shape"] = facts["width"] / facts["height"]
    facts["bytes"] = [p.stat().st_size if p.is_file() else 0 for p in paths]
    formats = pd.get_dummies(manifest["format"], dtype=float)
    colors = np.array([image.mean(axis=(0, 1)) for image in images])
    facts[["red", "green", "blue"]] = colors
    return facts.join(formats)
