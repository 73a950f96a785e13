"""Keep what a session has made in a folder that outlives it."""

import os
import shutil
from pathlib import Path

from tqdm.auto import tqdm

from catdog_helpers.machine.files import replacing

# Unpacked photographs are many small files, quickly unpacked again; the rest
# belongs to a process that runs.
LEFT_OUT = "images"
UNFINISHED = (".lock", ".partial", ".tmp")


def backup(
    *folders: str | Path, persist: str | Path | None = None
) -> list[Path]:
    """Copy archives, prepared images, features, models and results.

    Args:
        *folders: `DATA` and `OUT` of the notebooks.
        persist: Folder that outlives the session, such as one on a mounted
            drive. Defaults to what `use_backend` was told; without any,
            nothing happens.

    Returns:
        The files that were new or had changed. Each is replaced atomically;
        nothing is ever deleted there, and no newer file is replaced.

    Raises:
        OSError: If the disk is full; what was there stays as it was.
    """
    found = []
    for folder, kept in _places(persist, folders):
        found += _pairs(folder, kept)
    return _copy(found, "back up")


def restore(
    *folders: str | Path, persist: str | Path | None = None
) -> list[Path]:
    """Fetch back what `backup` has kept and what is missing here.

    Args:
        *folders: As for `backup`.
        persist: As for `backup`.

    Returns:
        The files that were missing. A file that is there is not touched.
    """
    found = []
    for folder, kept in _places(persist, folders):
        pairs = _pairs(kept, folder)
        found += [pair for pair in pairs if not pair[1].exists()]
    return _copy(found, "fetch back")


def lasting(path: str | Path) -> Path:
    """Return where a file of an unfinished training outlives the session."""
    persist = os.environ.get("CATDOG_PERSIST")
    return (
        Path(persist, "checkpoints", Path(path).name)
        if persist
        else (Path(path))
    )


def _places(persist, folders) -> list[tuple[Path, Path]]:
    """Return where each folder is kept; nothing without `persist`."""
    persist = persist or os.environ.get("CATDOG_PERSIST")
    folders = map(Path, folders if persist else ())
    return [(f, Path(persist) / f.resolve().name) for f in folders]


def _pairs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """List the files worth keeping, and where each of them goes."""
    names = (path.relative_to(source) for path in source.rglob("*"))
    # The last one says that the prepared images beside it are complete.
    kept = filter(_is_kept, names)
    kept = sorted(kept, key=lambda name: name.name == "images.json")
    return [(source / n, target / n) for n in kept if (source / n).is_file()]


def _is_kept(path: Path) -> bool:
    """Return whether a file is worth keeping, by its path."""
    unfinished = any(sign in path.name for sign in UNFINISHED)
    # <dataset>/images/…, <dataset>/prepared_150px.partial-1a2b/…
    return not (
        unfinished
        or any(part == LEFT_OUT or ".partial" in part for part in path.parts)
    )


def _copy(pairs: list[tuple[Path, Path]], what: str) -> list[Path]:
    """Copy files that are not there yet, each atomically."""
    pairs = [pair for pair in pairs if not _is_kept_already(*pair)]
    for source, target in tqdm(pairs, what, disable=not pairs):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as partial:
                shutil.copy2(source, partial)  # with its time of change
        except OSError as error:
            raise OSError(
                error.errno,
                f"{what}: {source} could not be copied to {target.parent} "
                f"({error.strerror}); what was there stays",
            ) from None
    return [target for _, target in pairs]


def _is_kept_already(source: Path, target: Path) -> bool:
    """Return whether the target is the same file, or a newer one."""
    if not target.exists():
        return False
    a, b = source.stat(), target.stat()
    # Some mounted drives keep whole seconds only.
    newer = b.st_mtime - a.st_mtime
    return newer >= 2 or a.st_size == b.st_size and newer > -2
