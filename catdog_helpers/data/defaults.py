"""The default settings of each data set, for the notebooks and `make run`."""

import re
from pathlib import Path
from typing import NamedTuple

from catdog_helpers.data.sources import dataset_dir


class Settings(NamedTuple):
    """What a notebook is run with, as `settings` returns it.

    Attributes:
        out: Directory of the run: `../runs/<data set>`.
        base: Name or path of the pretrained base.
        image_size: Side of the square images in pixels.
        train: Training images over all classes; `None` takes what is left.
        validation: Validation images, likewise.
        test: Test images, likewise.
        bases: The bases to compare: "all", "none", or names with commas.
        seeds: Trainings for each point of a curve.
        repeats: Trainings of each pitfall.
    """

    out: Path
    base: str = "VGG16"
    image_size: int = 150
    train: int | None = None
    validation: int | None = None
    test: int | None = None
    bases: str = "all"
    seeds: int = 3
    repeats: int = 5


# What differs from the defaults above.
USUAL = {
    "sample": {
        "base": "sample",
        "image_size": 96,
        "train": 300,
        "validation": 100,
        "test": 600,
        "bases": "none",
        "seeds": 2,
        "repeats": 3,
    },
    "sample_breeds": {"base": "sample", "image_size": 96},
    "oxford_pets": {"base": "MobileNetV2", "image_size": 192},
}


def settings(dataset: str | Path, **given) -> Settings:
    """Return what is given, and the data set's defaults for the rest.

    Args:
        dataset: As for `fetch`.
        **given: Fields of `Settings`; `None` stands for the default.

    Returns:
        The settings, complete.

    Raises:
        ValueError: If there is no such data set.
        TypeError: If there is no such setting.
    """
    given = {name: value for name, value in given.items() if value is not None}
    given["out"] = Path(given.get("out") or run_dir(dataset))
    return Settings(**USUAL.get(str(dataset), {}) | given)


def run_dir(
    dataset: str | Path,
    base: str | Path | None = None,
    *,
    runs: str | Path = "../runs",
) -> Path:
    """Return the directory of a run, named after its data and its base.

    Args:
        dataset: As for `fetch`.
        base: As for `load_base`; the data set's usual base is not named.
        runs: Folder that holds all runs.

    Returns:
        `<runs>/<dataset>` or `<runs>/<dataset>-<base>`. The name of a path or
        an address ends with the first digits of its hash, so that two folders
        called `train` never share a run. Nothing is created.

    Raises:
        ValueError: If there is no such data set.
    """
    name = dataset_dir(dataset).name
    usual = Settings(Path(), **USUAL.get(str(dataset), {}))
    if base is not None and str(base) != usual.base:
        stem = re.sub(r"\.keras$", "", Path(base).name)
        name += "-" + (re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "base")
    return Path(runs) / name
