"""What the folders around images say: the classes, and a split.

The rules, in this order:

1. A folder that holds nothing but one other folder is walked through.
2. A folder that holds what is beside it once more, byte for byte, is left out.
3. Folders called like splits (see `find_splits`) are the parts of a split, and
   never classes. A part with none of the classes that are trained is left out:
   it has no labels.
4. Where images are in no folders that say something, the classes are taken
   from the files' names, if all have one.
5. Otherwise each folder is a class, with all that is in it. If two of them
   hold folders of the same name, it is the wrong level, and an error.
What is left out, or understood in an unusual way, is said in a note.
"""

import filecmp
from dataclasses import dataclass, field
from pathlib import Path

from catdog_helpers.data.labels import label_by_names
from catdog_helpers.data.names import find_splits, plain, same, says_nothing

Parts = tuple[str, ...]  # of a path


@dataclass
class Labels:
    """What was understood: class and split by image, and notes."""

    root: Path
    found: dict[Parts, tuple[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: set[Parts] = field(default_factory=set)  # and said so
    levels: dict[Path, set] = field(default_factory=dict)  # of class folders
    problem: str = ""  # why the files' names give no classes

    def leave_out(self, files: list[Parts], depth: int, why: str) -> None:
        """Leave out the images of a folder at a depth, and note it."""
        self.left_out.update(files)
        folder = self.root.joinpath(*files[0][: depth + 1])
        self.notes.append(
            f"Images left out: all {len(files):,} in {folder}, as {why}"
        )


def label_by_folders(root: Path, images: list[Parts]) -> Labels:
    """Find class and split of images by the folders they lie in.

    Args:
        root: The folder with the images.
        images: Their paths in it, in parts.

    Returns:
        What was found; no classes if the folders say nothing.

    Raises:
        ValueError: If folders can be understood in two ways.
    """
    labels = Labels(root)
    images, depth = _open(images, 0, labels)
    folders = _folders(images, depth)
    parts = find_splits(folders)
    splits = {split for split, _ in parts.values()} - {"unlabelled"}
    others = [name for name in folders if name not in parts]
    if not splits:
        for name in parts:
            labels.leave_out(
                folders[name], depth, "by its name they have no labels"
            )
        images = [file for file in images if file not in labels.left_out]
        classes = _classes(images, depth, labels)
        labels.found = {file: (name, "") for file, name in classes.items()}
        return labels
    if others and not {"train"} < splits:
        path = root.joinpath(*images[0][:depth])
        raise _unclear_split(path, parts, others[0])
    for name in others:
        why = f"that is no part of the split into {', '.join(parts)}"
        labels.leave_out(folders[name], depth, why)
    _label_split(folders, parts, depth, labels)
    return labels


def _folders(images: list[Parts], depth: int) -> dict[str, list[Parts]]:
    """Return the images in each folder at a depth, by its name."""
    found = {}
    for file in images:
        if len(file) > depth + 1:
            found.setdefault(file[depth], []).append(file)
    return found


def _open(images: list[Parts], depth: int, labels: Labels) -> tuple:
    """Walk through what only wraps; leave out what is there twice."""
    while True:
        folders = _folders(images, depth)
        first = next(iter(folders.values()), [])
        if len(folders) == 1 and min(map(len, first)) > depth + 2:
            images, depth = first, depth + 1
        elif double := _find_double(images, depth, labels.root):
            labels.leave_out(double, depth, "the same are beside it")
            images = [file for file in images if file not in labels.left_out]
        else:
            return images, depth


def _find_double(images: list[Parts], depth: int, root: Path) -> list[Parts]:
    """Return the images of a folder that holds what is beside it again."""
    known = {file for file in images if len(file) > depth + 1}

    def is_double(file: Parts) -> bool:
        copy = file[:depth] + file[depth + 1 :]
        pair = root.joinpath(*file), root.joinpath(*copy)
        return (
            copy in known
            and all(path.is_file() for path in pair)
            and filecmp.cmp(*pair, shallow=False)
        )

    for files in _folders(images, depth).values():
        if all(map(is_double, files)):
            return files
    return []


def _classes(images, depth: int, labels: Labels, known=()) -> dict[Parts, str]:
    """Return the class of each image; `known` are the only ones, if given."""
    folders = _folders(images, depth)
    names = set(map(same, folders))
    one = len(folders) == 1 and not names & set(known)
    length = depth + (2 if folders else 1)
    is_flat = max(map(len, images), default=0) == length
    if is_flat and (one or all(map(says_nothing, folders))):
        flat = [file for file in images if len(file) == length]
        found, problem = label_by_names(flat, known)
        labels.problem = labels.problem or problem
        if found:
            some = sorted(set(found.values()))
            labels.notes.append(
                f"The classes of the {len(found):,} images in "
                f"{labels.root.joinpath(*images[0][:depth])} are taken from "
                f"the files' names: {', '.join(some[:5])}"
                + (f" and {len(some) - 5} others" if len(some) > 5 else "")
            )
        if found or known:
            return found
    if folders:
        path = labels.root.joinpath(*images[0][:depth])
        labels.levels[path] = set(folders)
        _check_level(path, folders, depth, labels)
    return {
        file: plain(name) for name, files in folders.items() for file in files
    }


def _check_level(path: Path, folders: dict, depth: int, labels: Labels) -> None:
    """Raise ValueError if classes hold folders of the same name."""
    where, several = {}, {}
    for name, files in folders.items():
        inner = {deeper for file in files for deeper in file[depth + 1 : -1]}
        for deeper in filter(lambda name: not says_nothing(name), inner):
            other = where.setdefault(same(deeper), name)
            if other != name or same(deeper) in map(same, folders):
                raise _too_high(path, folders, deeper, name)
        direct = _folders(files, depth + 1)
        if len(direct) > 1:
            several[name] = min(direct)
    if several:
        name, inner = next(iter(several.items()))
        labels.notes.append(
            f"Classes that hold several folders: {len(several)}, such as "
            f"{path / name} with {inner!r}. All images in them are taken for "
            "that class"
        )


def _too_high(path: Path, folders: dict, deeper: str, name: str) -> ValueError:
    largest = max(folders, key=lambda name: len(folders[name]))
    return ValueError(
        f"Folders called {deeper!r} are in {name!r} and elsewhere: this seems "
        f"one level too high. Received: {path}. If the classes are further "
        f"down, give one folder, such as {path / largest}, "
        "or bring them together: one folder for each class. If not, put the "
        "images of each class directly into its folder."
    )


def _unclear_split(path: Path, parts: dict, other: str) -> ValueError:
    name = next(n for n, (split, _) in parts.items() if split != "unlabelled")
    return ValueError(
        f"The folder {name!r} is called like a part of a split, but {other!r} "
        f"beside it is not. Received: {path}. If {name!r} is a class, rename "
        f"it, such as 'class_{name}'. If not, move it away, or put the classes "
        "that are beside it into a folder 'train'."
    )


def _label_split(folders, parts: dict, depth: int, labels: Labels) -> None:
    """Label the parts of a split, with the classes that are trained."""
    rests = {rest.casefold() for _, rest in parts.values()}
    files = [file for name in parts for file in folders[name]]
    if len(rests) > 1 and "" not in rests and {*map(len, files)} == {depth + 2}:
        labels.found = {
            file: (parts[file[depth]][1], parts[file[depth]][0])
            for file in files
        }
        name, (split, label) = next(iter(parts.items()))
        labels.notes.append(
            "Folders are taken for class and split, such as "
            f"{name!r} for class {label!r} in {split!r}"
        )
        return
    known = set()
    # What is trained comes first.
    for name in sorted(parts, key=lambda name: parts[name][0] != "train"):
        split, inner = parts[name][0], {}
        if split != "unlabelled":
            opened = _open(folders[name], depth + 1, labels)
            inner = _classes(*opened, labels, known)
        own = set(map(same, inner.values()))
        if split == "train" or not known:
            known |= own
        if known & own:
            labels.found |= {file: (c, split) for file, c in inner.items()}
        else:
            why = "they have no labels, or no class that is trained"
            labels.leave_out(
                folders[name], depth, f"{why}; `predict` can take this folder"
            )
    if len({split for _, split in labels.found.values()}) == 1:
        labels.found = {f: (name, "") for f, (name, _) in labels.found.items()}
