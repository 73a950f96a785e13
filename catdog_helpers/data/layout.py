"""Index a folder of images: which file, of which class, in which split."""

import os
import warnings
from collections import Counter
from itertools import islice
from pathlib import Path

import pandas as pd

from catdog_helpers.data.folders import Labels, label_by_folders
from catdog_helpers.data.labels import label_oxford, read_labels, species_of
from catdog_helpers.data.names import same
from catdog_helpers.data.walk import (
    COMPANIONS,
    DOCUMENTS,
    IMAGES,
    is_clutter,
    is_image_file,
    is_image_name,
    walk,
)

__all__ = ["index_images", "species_of"]
CSV_HINT = (
    "Or list the images in a CSV file with the columns path and label, such as "
    "`images/1.jpg,cat`, and give that file."
)


def index_images(folder: str | Path) -> pd.DataFrame:
    """List the image files of a folder, with class and given split.

    There may be one folder for each class, in any wrapping folders, or in
    folders called like splits (train, seg_test, valid_images); folders inside
    a class belong to it. Where images are in no folders of classes, and all
    their names hold a class and a number (`cat.0.jpg`), these are taken. In
    the layout of Oxford-IIIT Pet the class is the breed in the file's name,
    and `annotations/*.txt` give the split (images that they do not name are
    left out). Or a CSV file lists the images, with the columns `path`
    (relative to that file) and `label`. `data/README.md` has the rules.

    Files are known by extension, others by their first bytes: `prepare` finds
    out which of them decode. What is left out, or understood in an unusual
    way, is said in a warning.

    Args:
        folder: The folder or the CSV file, as `fetch` returns it.

    Returns:
        Table with the columns `path` (relative to `folder`, with `/`;
        absolute if a CSV names it), `class` and `split` ("", "train",
        "validation" or "test"), sorted by path.

    Raises:
        ValueError: If the folder does not hold two or more classes, or can be
            understood in two ways.
    """
    folder = Path(folder).resolve()
    if folder.suffix.lower() == ".csv" and folder.is_file():
        table = read_labels(folder)
        classes = list(table["class"])
        problem = _problem(classes, {(name, "") for name in classes})
        if problem:
            raise ValueError(
                f"{problem}. Received: {folder}. It must list two or more "
                "classes."
            )
        return table
    if not folder.exists():
        raise ValueError(f"There is no such folder. Received: {folder}.")
    files, images, notes = _list_files(folder)
    labels = _label(folder, files, images)
    _check_empty(labels)
    _check_classes(folder, images, labels)
    for note in [*notes, *labels.notes, *_rest(folder, images, labels)]:
        warnings.warn(note, stacklevel=2)
    found = labels.found.items()
    rows = sorted(("/".join(parts), *label) for parts, label in found)
    # As objects: with pyarrow installed, pandas' own strings hold no bytes
    # that are no text.
    return pd.DataFrame(rows, columns=["path", "class", "split"], dtype=object)


def _list_files(folder: Path) -> tuple[list, list, list[str]]:
    """Return each file and each image, by its path in parts, and notes."""
    files, images, odd, other, closed = [], [], [], [], []
    for path, reason in walk(folder, follow_links=True):
        parts = Path(path).relative_to(folder).parts
        if reason:
            closed.append(f"{path} ({reason})")
            continue
        files.append(parts)
        if is_image_name(path):
            images.append(parts)
        elif not path.lower().endswith(COMPANIONS):
            (odd if is_image_file(path) else other).append(parts)
    said = (
        (
            odd,
            "Files taken for images by their first bytes, not by their names",
        ),
        (other, "Files left out, as they are no images"),
        (closed, "Folders left out, as they cannot be opened"),
    )
    notes = []
    for found, what in said:
        if found:
            first = found[0] if found is closed else folder.joinpath(*found[0])
            notes.append(f"{what}: {len(found):,}, such as {first}")
    return files, images + odd, notes


def _label(folder: Path, files: list, images: list) -> Labels:
    lists = [p[:-2] for p in files if p[-2:] == ("annotations", "trainval.txt")]
    if not lists:
        return label_by_folders(folder, images)
    found = label_oxford(folder, lists[0], images)
    return Labels(found, left_out=set(images) - set(found))


def _rest(folder: Path, images: list, labels: Labels) -> list[str]:
    """Note the images that lie in no folder of a class."""
    rest = sorted(set(images) - set(labels.found) - labels.left_out)
    if not rest:
        return []
    first = folder.joinpath(*rest[0])
    return [
        f"Images left out, as they lie in no class folder: {len(rest):,}, such "
        f"as {first}"
    ]


def _check_empty(labels: Labels) -> None:
    """Raise ValueError for a folder without images among those of classes."""
    for level in labels.levels:
        for path in sorted(level.path.iterdir()):
            if path.name in level.folders or not path.is_dir():
                continue
            names = [name.lower() for name, _ in walk(path)]
            filled = any(name.endswith(IMAGES + DOCUMENTS) for name in names)
            if not filled and not is_clutter(path.name):
                raise ValueError(
                    f"A class has no images. Received: {path}. Fill that "
                    "folder, or move it away."
                )


def _problem(images: list, pairs: set) -> str:
    """Return what is wrong with classes and splits; empty if nothing is."""
    classes = sorted({name for name, _ in pairs})
    splits = {split for _, split in pairs}
    missing = {(n, s) for n in classes for s in splits} - pairs
    alike = Counter(map(same, classes))
    twins = [name for name in classes if alike[same(name)] > 1]
    if not images:
        return "There are no images"
    if not classes:
        return "The images are in no class folders"
    if twins:
        return f"Class names differ in case only, or in spaces, {twins}"
    if len(classes) == 1:
        return f"There is only one class, {classes[0]!r}"
    if missing:
        return "Class {!r} has no images in {!r}".format(*min(missing))
    if splits - {""} and "train" not in splits:
        return f"There is no 'train' beside {' and '.join(sorted(splits))}"
    return ""


def _check_classes(folder: Path, images: list, labels: Labels) -> None:
    """Raise ValueError unless there are two classes or more, in each split."""
    problem = _problem(images, set(labels.found.values()))
    if not problem:
        return
    if "differ in case" in problem:
        advice = "Rename the folders, or the labels, of one class alike."
    elif "has no images in" in problem:
        advice = (
            "Move some of its images there, or move that class, or that part "
            "of the split, away."
        )
    elif "no 'train'" in problem:
        advice = "Rename the part to train on 'train', or give one part."
    else:
        advice = (
            "It must hold a folder of images for each of two or more classes."
            f"{_hint(folder, images)}"
        )
        if labels.problem:
            advice += f" The files' names hold no classes: {labels.problem}."
        if images:
            advice += f" {CSV_HINT}"
    raise ValueError(f"{problem}. Received: {folder}. {advice}")


def _hint(folder: Path, images: list) -> str:
    """Name the folder that may be meant: one further down, or the one above."""
    inside, sizes = {}, Counter()
    for parts in images:
        for depth in range(1, len(parts) - 1):
            inside.setdefault(parts[:depth], set()).add(parts[depth])
            sizes[parts[:depth]] += 1
    below = [parts for parts in inside if len(inside[parts]) > 1]
    for parts in sorted(below, key=lambda p: (-sizes[p], len(p), p))[:9]:
        own = [p[len(parts) :] for p in images if p[: len(parts)] == parts]
        if _is_understood(folder.joinpath(*parts), own):
            return f" Did you mean {folder.joinpath(*parts)}?"
    beside = []
    for path in folder.parent.iterdir() if os.access(folder.parent, 4) else ():
        if path.is_dir() and not is_clutter(path.name) and os.access(path, 5):
            names = islice((n for n in os.listdir(path) if is_image_name(n)), 9)
            beside += [(path.name, name) for name in names]
    if _is_understood(folder.parent, beside, folder.name):
        return f" Did you mean {folder.parent}?"
    return ""


def _is_understood(folder: Path, images: list, name: str = "") -> bool:
    """Return whether images are in folders of classes, one of that name."""
    try:
        labels = label_by_folders(folder, images)
    except ValueError:
        return False
    pairs = set(labels.found.values())
    named = not name or any(name in level.folders for level in labels.levels)
    return bool(labels.levels) and named and not _problem(images, pairs)
