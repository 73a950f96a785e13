"""Index a folder of images: which file, of which class, in which split."""

import warnings
from collections import Counter
from pathlib import Path

import pandas as pd

from catdog_helpers.data.folders import Labels, label_by_folders
from catdog_helpers.data.labels import label_oxford, read_labels, species_of
from catdog_helpers.data.names import like_verdicts, same
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
        advice = "It must list two or more classes."
        _check_classes(folder, classes, {(c, "") for c in classes}, advice)
        return table
    if not folder.exists():
        raise ValueError(f"There is no such folder. Received: {folder}.")
    files, images, notes = _list_files(folder)
    labels = _label(folder, files, images)
    _check_empty(labels)
    advice = "It must hold a folder of images for each of two or more classes."
    if labels.problem:
        advice += f" The files' names hold no classes: {labels.problem}."
    advice += f" {CSV_HINT}"
    _check_classes(folder, images, set(labels.found.values()), advice)
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
    said = {
        "Files taken for images by their first bytes, not by their names": odd,
        "Files left out, as they are no images": other,
    }
    notes = [
        f"{what}: {len(found):,}, such as {folder.joinpath(*found[0])}"
        for what, found in said.items()
        if found
    ]
    notes += [f"Folder left out, as it cannot be opened: {x}" for x in closed]
    return files, images + odd, notes


def _label(folder: Path, files: list, images: list) -> Labels:
    lists = [p[:-2] for p in files if p[-2:] == ("annotations", "trainval.txt")]
    if not lists:
        return label_by_folders(folder, images)
    found = label_oxford(folder, lists[0], images)
    return Labels(folder, found, left_out=set(images) - set(found))


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
    for level, names in labels.levels.items():
        for path in sorted(level.iterdir()):
            if path.name in names or is_clutter(path.name) or path.is_file():
                continue
            inside = [name.lower() for name, _ in walk(path)]
            if not any(name.endswith(IMAGES + DOCUMENTS) for name in inside):
                raise ValueError(
                    f"A class has no images. Received: {path}. Fill that "
                    "folder, or move it away."
                )


def _check_classes(
    source: Path, images: list, pairs: set[tuple], advice: str
) -> None:
    """Raise ValueError unless there are two classes or more, in each split."""
    classes = sorted({name for name, _ in pairs})
    splits = {split for _, split in pairs}
    missing = {(n, s) for n in classes for s in splits} - pairs
    alike = Counter(map(same, classes))
    twins = [name for name in classes if alike[same(name)] > 1]
    if not images:
        problem = "There are no images"
    elif not classes:
        problem = "The images are in no class folders"
    elif twins:
        problem = f"Class names differ in case only, or in spaces, {twins}"
        advice = "Rename the folders, or the labels, of one class alike."
    elif verdicts := like_verdicts(classes):
        problem = f"Classes are called like verdicts of `predict`, {verdicts}"
        advice = "Rename their folders, or their labels."
    elif len(classes) == 1:
        problem = f"There is only one class, {classes[0]!r}"
    elif missing:
        problem = "Class {!r} has no images in {!r}".format(*min(missing))
        advice = (
            "Move some of its images there, or move that class, or that part "
            "of the split, away."
        )
    elif splits - {""} and "train" not in splits:
        problem = f"There is no 'train' beside {' and '.join(sorted(splits))}"
        advice = "Rename the part to train on 'train', or give one part."
    else:
        return
    raise ValueError(f"{problem}. Received: {source}. {advice}")
