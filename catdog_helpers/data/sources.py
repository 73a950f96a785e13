"""Fetch a dataset: download, verify and unpack it, each step only once."""

import errno
import hashlib
import os
import re
import shutil
import uuid
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from catdog_helpers.data.archive import extract, is_archive
from catdog_helpers.data.download import download, is_safe
from catdog_helpers.data.walk import walk
from catdog_helpers.machine.files import (
    delete_partial_files,
    read_json,
    sha256_of,
    write_json,
)
from catdog_helpers.machine.persist import restore

# The archives of each dataset: bytes and SHA-256, which are those that
# TensorFlow Datasets 4.9.10 checks; Google publishes no hash.
SOURCES = {
    "small": {"cats_and_dogs_filtered.zip": (68_606_236, "")},
    "full": {
        "kagglecatsanddogs_5340.zip": (
            824_887_076,
            "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
        )
    },
    "oxford_pets": {
        "images.tar.gz": (
            791_918_971,
            "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
        ),
        "annotations.tar.gz": (
            19_173_078,
            "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
        ),
    },
}
# Where each dataset's archives are, the first place first.
PLACES = {
    "small": (
        "https://storage.googleapis.com/mledu-datasets/",
        "https://download.mlcc.google.com/mledu-datasets/",
    ),
    "full": (
        "https://download.microsoft.com/download/3/E/1/"
        "3E1C3F21-ECDB-4869-8368-6DEBA77B919F/",
    ),
    "oxford_pets": (
        "https://www.robots.ox.ac.uk/~vgg/data/pets/data/",
        "https://thor.robots.ox.ac.uk/~vgg/data/pets/",
    ),
}
SHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers", ".tsv", ".json")
DRAWN = ("sample", "sample_breeds")  # drawings, no photographs
NAMES = (*DRAWN, *SOURCES)
SAMPLE = Path(__file__).parent / "sample"
MARKER = ".complete.json"  # in a finished folder: made from what, how much


def fetch(dataset: str | Path, data_dir: str | Path = "../data") -> Path:
    """Return a folder with the images of a dataset, downloaded if necessary.

    After a kill the next call goes on. A local folder is used where it is.

    Args:
        dataset: "sample", "sample_breeds" (both drawn, no download), "small"
            (3,000 images, 66 MB), "full" (25,000, 787 MB), "oxford_pets" (37
            breeds, 774 MB), the https address or path of a zip or tar, or the
            path of a folder or of a CSV file that lists photographs.
        data_dir: Folder that keeps the datasets, each in a folder of its own.

    Returns:
        The folder to give to `index_images`, or the CSV file with the columns
        path and label: the one given, or the one in the archive.

    Raises:
        ValueError: If there is no such dataset, or an archive is unsound.
        OSError: If it cannot be downloaded or written.
    """
    target, name = dataset_dir(dataset, data_dir), str(dataset)
    restore(data_dir)
    if name in DRAWN:
        from catdog_helpers.data.sample import draw

        # Changed code may draw other pictures: then all are drawn anew.
        files = [SAMPLE / "draw.py", SAMPLE / "figures.txt"]
        fill = draw.draw_sample if name == "sample" else draw.draw_breeds
        return _make(target, _hashes(files), fill)
    if name in SOURCES or is_safe(name):
        files = SOURCES.get(name, {"archive": (0, "")})
        hashes = {file: sha256 for file, (_, sha256) in files.items()}
        fill = partial(_download_and_unpack, name, files, target)
        known = hashes if all(hashes.values()) else None
        return _list_in(_make(target, known, fill))
    path = Path(name).expanduser()
    if path.suffix.lower() == ".csv" and path.is_file():
        return path
    archives = [path]
    if path.is_dir():
        archives = [path / file for file in SOURCES["oxford_pets"]]
        packed = all(file.is_file() for file in archives)
        if not packed or (path / "images").exists():
            return path
    elif path.suffix.lower() in SHEETS or not is_archive(path):
        raise ValueError(
            f"This file is no zip, tar or CSV. Received: {path}. Give the "
            "folder or an archive of the photographs; save a table as CSV, "
            "with the columns path and label."
        )
    fill = partial(_unpack, archives)
    return _list_in(_make(target, _hashes(archives), fill))


def dataset_dir(dataset: str | Path, data_dir: str | Path = "../data") -> Path:
    """Return the folder that holds what is kept of a dataset.

    Args:
        dataset: As for `fetch`.
        data_dir: Folder that keeps the datasets.

    Returns:
        `data_dir/<name>`; for a path or an address the name is its stem and
        the first digits of its hash.

    Raises:
        ValueError: If it is no name of a dataset, no address and no path.
    """
    name = str(dataset)
    if name in NAMES:
        return Path(data_dir) / name
    path = Path(name).expanduser()
    if is_safe(name):
        whole, last = name, unquote(urlsplit(name).path).rstrip("/")
    elif "://" not in name and path.exists():
        whole = last = path.resolve().as_posix()
    else:
        raise ValueError(
            f"There is no such dataset. Received: {name!r}. Choose "
            f"{', '.join(NAMES)}, the https:// address or the path of a zip "
            "or tar, or the path of a folder with a folder for each class or "
            "of a CSV file with the columns path and label."
        )
    stem = last.rpartition("/")[2].partition(".")[0]
    stem = re.sub(r"[^\w-]+", "_", stem)[:40] or "dataset"
    key = hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()
    return Path(data_dir) / f"{stem}-{key[:8]}"


def _list_in(folder: Path) -> Path:
    """Return the one CSV with path and label that an archive brought."""
    found = []
    for path in (*folder.glob("*.csv"), *folder.glob("*/*.csv")):
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            names = re.split('[,;\\s"]+', file.readline(10_000).lower())
        found += [path] if {"path", "label"} <= set(names) else []
    return found[0] if len(found) == 1 else folder


def _download_and_unpack(name, files, target: Path, folder: Path) -> dict:
    archives = []
    for file, (size, sha256) in files.items():
        urls = [place + file for place in PLACES.get(name, ())] or [name]
        path = download(urls, target / file, size=size, sha256=sha256)
        archives.append(path)
    try:
        return _unpack(archives, folder)
    except ValueError as error:
        raise ValueError(f"{error} Or delete it to download it.") from error


def _unpack(archives: list[Path], folder: Path) -> dict[str, str]:
    for archive in archives:
        extract(archive, folder)
    return _hashes(archives)


def _hashes(files: list[Path]) -> dict[str, str]:
    return {file.name: sha256_of(file) for file in files}


def _make(target: Path, made_from: dict | None, fill: Callable) -> Path:
    """Fill the folder `images` unless it is complete: whole, or not at all.

    A folder that was there before is set aside, with a warning. `fill` writes
    to a temporary folder; it may return what the images are made from.
    """
    images = target / "images"
    if _is_complete(images, made_from):  # else no need to write anything
        return images
    try:
        target.mkdir(parents=True, exist_ok=True)
        with FileLock(target / ".lock"):
            for left in target.glob(".images.*.tmp"):  # by a killed process
                shutil.rmtree(left, ignore_errors=True)
            delete_partial_files(target, 0)
            if not _is_complete(images, made_from):
                _fill(images, made_from, fill)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise PermissionError(
            f"Cannot write to this folder. Received: {target} ({error}). "
            "Choose another data_dir."
        ) from error
    return images


def _fill(images: Path, made_from: dict | None, fill: Callable) -> None:
    tag = uuid.uuid4().hex
    temporary = images.with_name(f".images.{tag}.tmp")
    temporary.mkdir()
    try:
        made_from = fill(temporary) or made_from
        marker = {"made_from": made_from} | _count(temporary)
        write_json(temporary / MARKER, marker)
        if images.exists():
            aside = images.rename(f"{images}-{tag[:8]}")
            warnings.warn(
                f"{images} was not as it is made here: set aside as {aside}",
                stacklevel=4,
            )
        temporary.rename(images)
    finally:  # also after Ctrl-C
        shutil.rmtree(temporary, ignore_errors=True)


def _is_complete(folder: Path, made_from: dict | None) -> bool:
    """Return whether `folder` is complete (None: made from anything)."""
    marker = read_json(folder / MARKER)
    source = marker.pop("made_from", None)
    if source is None or made_from not in (None, source):
        return False
    return marker == _count(folder)


def _count(folder: Path) -> dict[str, int]:
    files = [path for path, _ in walk(folder) if os.path.isfile(path)]
    sizes = list(map(os.path.getsize, files))
    return {"files": len(sizes), "bytes": sum(sizes)}
