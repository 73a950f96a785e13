"""Fetch a dataset: download, verify and unpack it, each step only once."""

import errno
import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from catdog_helpers.data.archive import (
    building,
    is_archive,
    is_complete,
    unpack,
)
from catdog_helpers.data.download import download, is_safe
from catdog_helpers.machine.files import delete_partial_files, sha256_of
from catdog_helpers.machine.persist import restore

# The archives of each dataset: bytes, images in it, SHA-256. Bytes and hashes
# are those that TensorFlow Datasets 4.9.10 checks; Google publishes no hash.
SOURCES = {
    "small": {"cats_and_dogs_filtered.zip": (68_606_236, 3_000, "")},
    "full": {
        "kagglecatsanddogs_5340.zip": (
            824_887_076,
            25_000,
            "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
        )
    },
    "oxford_pets": {
        "images.tar.gz": (
            791_918_971,
            7_390,
            "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
        ),
        "annotations.tar.gz": (
            19_173_078,
            0,
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
PREPARED_BYTES = 192 * 192 * 3  # an image in the array that `prepare` makes


def fetch(dataset: str | Path, data_dir: str | Path = "../data") -> Path:
    """Return a folder with the images of a dataset; get them if need be.

    What is downloaded is verified, what is unpacked comes whole. After a
    failure, a kill or Ctrl-C the next call goes on from there. A local folder
    is used where it is, and never changed.

    Args:
        dataset: "sample", "sample_breeds" (both drawn, no download), "small"
            (3,000 images, 66 MB), "full" (25,000, 787 MB), "oxford_pets" (37
            breeds, 774 MB), the https address or path of a zip or tar, or the
            path of a folder or of a CSV file that lists photographs.
        data_dir: Folder that keeps the datasets, each in a folder of its own.

    Returns:
        The folder to give to `index_images`, or the CSV file: that one, or
        the one with the columns path and label which is in the archive.

    Raises:
        ValueError: If there is no such dataset, or an archive is unsound.
        OSError: If it cannot be downloaded or written.
    """
    target, name = dataset_dir(dataset, data_dir), str(dataset)
    restore(data_dir)
    if name in NAMES and name not in SOURCES:
        return _draw_sample(name, target)
    if name in SOURCES or is_safe(name):
        return _list_in(_download_and_unpack(name, target))
    path = Path(name).expanduser()
    oxford = [path / "images.tar.gz", path / "annotations.tar.gz"]
    packed = all(file.is_file() for file in oxford)
    if path.suffix.lower() == ".csv" and path.is_file():
        return path
    if path.is_dir() and not (packed and not (path / "images").exists()):
        return path
    if path.is_file():
        _check_archive(path)
    return _list_in(_unpack_local(target, [path] if path.is_file() else oxford))


def dataset_dir(dataset: str | Path, data_dir: str | Path = "../data") -> Path:
    """Return the folder that holds what is kept of a dataset.

    Args:
        dataset: As for `fetch`.
        data_dir: Folder that keeps the datasets.

    Returns:
        `data_dir/<name>`; for a path or an address the name is its stem and
        the first digits of a hash of it. Nothing is created.

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


def _check_archive(path: Path) -> None:
    """Raise ValueError for a user's own file that is no archive of images."""
    if path.suffix.lower() in SHEETS or not is_archive(path):
        raise ValueError(
            f"This file is no zip, tar or CSV. Received: {path}. Give the "
            "folder or an archive of the photographs; save a table as CSV, "
            "with the columns path and label."
        )


def _list_in(folder: Path) -> Path:
    """Return the one CSV with path and label that an archive brought."""
    found = []
    for path in (*folder.glob("*.csv"), *folder.glob("*/*.csv")):
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            head = re.split("[,;]", file.readline(10_000).lower())
        names = {name.strip(' \r\n"') for name in head}
        found += [path] if {"path", "label"} <= names else []
    return found[0] if len(found) == 1 else folder


def _draw_sample(name: str, target: Path) -> Path:
    from catdog_helpers.data.sample import draw

    # Changed code may draw other pictures: then all are drawn anew.
    made_from = {
        name: sha256_of(SAMPLE / name) for name in ("draw.py", "figures.txt")
    }
    images = target / "images"
    if not is_complete(images, made_from):
        with _locked(target):
            if not is_complete(images, made_from):
                with building(images, made_from) as temporary:
                    if name == "sample":
                        draw.draw_sample(temporary)
                    else:
                        draw.draw_breeds(temporary)
    return images


def _unpack_local(target: Path, archives: list[Path]) -> Path:
    images = target / "images"
    made_from = {archive.name: sha256_of(archive) for archive in archives}
    if not is_complete(images, made_from):  # else no need to write anything
        with _locked(target):
            unpack(archives, images)
    return images


def _download_and_unpack(name: str, target: Path) -> Path:
    images = target / "images"
    files = SOURCES.get(name, {"archive": (0, 0, "")})
    hashes = {file: sha256 for file, (_, _, sha256) in files.items()}
    if is_complete(images, hashes if all(hashes.values()) else None):
        return images
    with _locked(target):
        archives = [
            download(
                [place + file for place in PLACES[name]]
                if name in SOURCES
                else [name],
                target / file,
                size=size,
                sha256=sha256,
                room=size + n_images * PREPARED_BYTES,
            )
            for file, (size, n_images, sha256) in files.items()
        ]
        try:
            return unpack(archives, images)
        except ValueError as error:
            raise ValueError(f"{error} Or delete it to download it.") from error


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Keep other processes out of a folder; remove what a kill left there."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        with FileLock(target / ".lock"):
            for left in target.glob(".images.*.tmp*"):
                shutil.rmtree(left, ignore_errors=True)
            delete_partial_files(target, 0)
            yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise PermissionError(
            f"Cannot write to this folder. Received: {target} ({error}). "
            "Choose another data_dir."
        ) from error
