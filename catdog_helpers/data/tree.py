"""The tree of the folders that hold images."""

import filecmp
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from catdog_helpers.data.names import same, says_nothing

Parts = tuple[str, ...]  # of a path


@dataclass
class Folder:
    """A folder that holds images, at any depth."""

    path: Path
    parts: Parts = ()
    files: list[Parts] = field(default_factory=list)
    folders: dict[str, "Folder"] = field(default_factory=dict)

    def all_files(self) -> Iterator[Parts]:
        """Yield the images of this folder and of those in it."""
        yield from self.files
        for folder in self.folders.values():
            yield from folder.all_files()

    def all_names(self) -> Iterator[str]:
        """Yield the names of the folders in it that say something."""
        for name, folder in self.folders.items():
            if not says_nothing(name):
                yield name
            yield from folder.all_names()


def grow(root: Path, images: list[Parts]) -> Folder:
    """Return the folders that hold images, as a tree.

    Args:
        root: The folder with all of them.
        images: Their paths in it, in parts.

    Returns:
        The root of the tree.
    """
    top = Folder(root)
    for parts in images:
        here = top
        for depth, name in enumerate(parts[:-1], 1):
            if name not in here.folders:
                path = here.path / name
                here.folders[name] = Folder(path, parts[:depth])
            here = here.folders[name]
        here.files.append(parts)
    return top


def double(folder: Folder) -> tuple[str, Path] | None:
    """Find a folder that holds the same images as another place.

    Args:
        folder: Where to look: at each folder in it.

    Returns:
        The name of one that holds its neighbours, or what a neighbour holds,
        once more, byte for byte; and where else the images are.
    """
    for name, inner in folder.folders.items():
        if not inner.folders:
            continue
        while len(inner.folders) == 1 and not inner.files:
            (inner,) = inner.folders.values()
        beside = [f for other, f in folder.folders.items() if other != name]
        names = {same(f.path.name) for f in beside}
        again = bool(names & set(map(same, inner.folders)))
        if again and _same_files(inner, folder.path):
            return name, folder.path
        for other in beside:
            if inner.folders and set(inner.folders) <= set(other.folders):
                # Of two copies the one of the shorter name is kept.
                first = len(other.path.name) <= len(name)
                if first and _same_files(inner, other.path):
                    return name, other.path
    return None


def _same_files(folder: Folder, other: Path) -> bool:
    """Return whether all images of a folder are in another folder, too."""
    pairs = []
    for parts in folder.all_files():
        inside = parts[len(folder.parts) :]
        path, copy = folder.path.joinpath(*inside), other.joinpath(*inside)
        if not (path.is_file() and copy.is_file()):
            return False
        if path.stat().st_size != copy.stat().st_size:
            return False
        pairs.append((path, copy))
    filled = any(path.stat().st_size for path, _ in pairs)
    return filled and all(filecmp.cmp(*pair, shallow=False) for pair in pairs)
