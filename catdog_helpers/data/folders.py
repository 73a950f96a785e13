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
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from catdog_helpers.data.names import (
    class_in,
    find_splits,
    plain,
    same,
    says_nothing,
)
from catdog_helpers.data.walk import is_image_name

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

    `images` are paths in `root`, in parts. There are no classes if the folders
    say nothing; if they can be understood in two ways, ValueError is raised.
    """
    labels = Labels(root)
    images, depth = _open(images, 0, labels)
    folders = _folders(images, depth)
    parts = find_splits(folders)
    splits = {split for split, _ in parts.values()} - {"unlabelled"}
    others = [name for name in folders if name not in parts]
    if not splits:
        for name in parts:
            why = "by its name they have no labels"
            labels.leave_out(folders[name], depth, why)
        rest = [file for file in images if file not in labels.left_out]
        classes = _classes(rest, depth, labels)
        labels.found = {file: (name, "") for file, name in classes.items()}
        return labels
    if others and not {"train"} < splits:
        name = next(name for name in parts if parts[name][0] != "unlabelled")
        raise ValueError(
            f"The folder {name!r} is called like a part of a split, but "
            f"{others[0]!r} beside it is not. Received: "
            f"{root.joinpath(*images[0][:depth])}. If {name!r} is a class, "
            f"rename it, such as 'class_{name}'. If not, move it away, or put "
            "the classes that are beside it into a folder 'train'."
        )
    for name in others:
        why = f"that is no part of the split into {', '.join(parts)}"
        labels.leave_out(folders[name], depth, why)
    _label_split({name: folders[name] for name in parts}, parts, depth, labels)
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
            continue
        known = {file for files in folders.values() for file in files}
        for files in folders.values():
            if all(
                _is_double(file, depth, labels.root, known) for file in files
            ):
                labels.leave_out(files, depth, "the same are beside it")
        rest = [file for file in images if file not in labels.left_out]
        if len(rest) == len(images):
            return images, depth
        images = rest


def _is_double(file: Parts, depth: int, root: Path, known: set) -> bool:
    """Return whether a file is also one folder further up."""
    copy = file[:depth] + file[depth + 1 :]
    pair = root.joinpath(*file), root.joinpath(*copy)
    is_there = copy in known and all(path.is_file() for path in pair)
    return is_there and filecmp.cmp(*pair, shallow=False)


def _classes(images, depth: int, labels: Labels, known=()) -> dict[Parts, str]:
    """Return the class of each image; `known` are the only ones, if given."""
    folders = _folders(images, depth)
    path = labels.root.joinpath(*(images[0][:depth] if images else ()))
    one = len(folders) == 1 and not {*map(same, folders)} & set(known)
    length = depth + (2 if folders else 1)
    is_flat = max(map(len, images), default=0) == length
    if is_flat and (one or all(map(says_nothing, folders))):
        flat = [file for file in images if len(file) == length]
        found, problem = _label_by_names(flat, known)
        labels.problem = labels.problem or problem
        if found:
            some = sorted(set(found.values()))
            more = f" and {len(some) - 5} others" if len(some) > 5 else ""
            labels.notes.append(
                f"The classes of the {len(found):,} images in {path} are taken "
                f"from the files' names: {', '.join(some[:5])}{more}"
            )
        if found or known:
            return found
    if folders:
        labels.levels[path] = set(folders)
        _check_level(path, folders, depth, labels)
    return {
        file: plain(name) for name, files in folders.items() for file in files
    }


def _label_by_names(files: list[Parts], known) -> tuple[dict[Parts, str], str]:
    """Take the class of each image from the name of its file, if all have one.

    Returns class by path, empty if the names hold none, and the reason for
    that. `known` are the only classes that there may be, if given.
    """
    names = {file: PurePosixPath(file[-1]) for file in files}
    stems = {
        file: name.stem if is_image_name(name.name) else name.name
        for file, name in names.items()
    }
    found = {file: class_in(stem) for file, stem in stems.items()}
    without = [stems[file] for file, label in found.items() if not label]
    counts = Counter(found.values())
    rare = [label for label in counts if counts[label] < (1 if known else 3)]
    if without:
        first = without[0]
        problem = f"{len(without):,} lack a word or number, such as {first!r}"
    elif len(counts) < 2:
        problem = f"all begin with {next(iter(counts), '')!r}"
    elif rare:
        problem = f"too few begin with {rare[0]!r}"
    elif known and not set(map(same, counts)) <= set(known):
        problem = "they are not those of the training images"
    else:
        return found, ""
    return {}, problem


def _check_level(path: Path, folders: dict, depth: int, labels: Labels) -> None:
    """Raise ValueError if classes hold folders of the same name."""
    where, several = {same(name): "" for name in folders}, {}
    for name, files in folders.items():
        inner = {deeper for file in files for deeper in file[depth + 1 : -1]}
        for deeper in inner:
            if says_nothing(deeper):
                continue
            if where.setdefault(same(deeper), name) != name:
                raise _too_high(path, folders, deeper, name)
        if len(direct := _folders(files, depth + 1)) > 1:
            several[name] = min(direct)
    for name, inner in list(several.items())[:1]:
        labels.notes.append(
            f"Classes that hold several folders: {len(several)}, such as "
            f"{path / name} with {inner!r}. All images in them are taken for "
            "that class"
        )


def _too_high(path: Path, folders: dict, deeper: str, name: str) -> ValueError:
    largest = max(folders, key=lambda name: len(folders[name]))
    return ValueError(
        f"Folders called {deeper!r} are in {name!r} and elsewhere: this seems "
        f"one level too high. Received: {path}. Give the folder of the "
        f"classes, such as {path / largest}, or bring them together: one "
        "folder for each class, with its images directly in it."
    )


def _label_split(
    folders: dict, parts: dict, depth: int, labels: Labels
) -> None:
    """Label the parts of a split, with the classes that are trained."""
    rests = {rest.casefold() for _, rest in parts.values()}
    lengths = {len(file) for files in folders.values() for file in files}
    if len(rests) > 1 and "" not in rests and lengths == {depth + 2}:
        for name, files in folders.items():
            labels.found |= dict.fromkeys(files, parts[name][::-1])
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
