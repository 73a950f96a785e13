"""The walk over a folder of photographs, and what counts as one."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from catdog_helpers.data.headers import format_of

IMAGES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp")
IMAGES += (".tif", ".tiff", ".avif", ".heic", ".heif", ".hif", ".jxl", ".jp2")
DOCUMENTS = (".txt", ".md", ".pdf", ".docx", "license", "licence", "readme")
# What may lie beside photographs without a word about it
COMPANIONS = (*DOCUMENTS, ".csv", ".tsv", ".json", ".xml", ".html", ".yaml")
COMPANIONS += (".yml", ".mat", ".npy", ".npz", ".py", ".ipynb", ".xlsx", ".log")
# These begin like TIFF, but a decoder would find a small preview only.
RAW = (".dng", ".cr2", ".nef", ".arw", ".orf", ".pef", ".rw2", ".srw", ".nrw")
# What systems, network drives and notebooks leave in folders
CLUTTER = """
    __macosx/__pycache__/thumbs.db/ehthumbs.db/desktop.ini/@eadir/@recycle/@tmp
    @recently-snapshot/#recycle/#snapshot/$recycle.bin/lost+found
    system volume information/network trash folder/temporary items
"""
CLUTTER = {name.strip() for name in CLUTTER.replace("\n", "/").split("/")}


def is_clutter(name: str) -> bool:
    """Return whether a file or folder is hidden, or left there by a system."""
    return name.startswith(".") or name.lower() in CLUTTER


def is_image_name(name: str) -> bool:
    """Return whether a file has the extension of an image."""
    return name.lower().endswith(IMAGES)


def is_image_file(path: str | Path) -> bool:
    """Return whether a regular file begins like an image, whatever its name.

    Args:
        path: The file. A pipe or a device is not opened.

    Returns:
        False also if it cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            is_image = format_of(file.read(64)) != ""
    except OSError:
        return False
    return is_image and not str(path).lower().endswith(RAW)


def walk(
    folder: str | Path, *, follow_links: bool = False, above: tuple = ()
) -> Iterator[tuple[str, str]]:
    """Find the files of a folder and of all folders in it, without clutter.

    Memory holds the names of one folder at a time and of those around it.

    Args:
        folder: Where to look.
        follow_links: Whether to enter linked folders, though never in a
            circle.
        above: The real paths of the folders around it.

    Yields:
        Path and an empty string; or, of a folder that cannot be listed, its
        path and the reason. In each folder sorted by name.
    """
    above = (*above, os.path.realpath(folder))
    try:
        with os.scandir(folder) as entries:
            kinds = {
                entry.name: entry.is_dir(follow_symlinks=follow_links)
                for entry in entries
                if not is_clutter(entry.name)
            }
    except OSError as error:
        yield str(folder), error.strerror or str(error)
        return
    for name in sorted(kinds):
        path = os.path.join(folder, name)
        if not kinds[name]:
            yield path, ""
        elif os.path.realpath(path) not in above:  # else a link in a circle
            yield from walk(path, follow_links=follow_links, above=above)
