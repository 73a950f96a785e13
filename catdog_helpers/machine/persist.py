"""Keep what a session has made in a folder that outlives it."""

import os
import shutil
from pathlib import Path

from tqdm.auto import tqdm

# Unpacked photographs are many small files, quickly unpacked again; the rest
# belongs to a process that runs.
LEFT_OUT = "images"
UNFINISHED = (".lock", ".partial", ".tmp")


def keep(persist: str | Path | None, *folders: str | Path) -> list[Path]:
    """Copy archives, prepared images, features, models and results.

    Args:
        persist: Folder that outlives the session, e.g. on a mounted drive;
            `None` does nothing.
        *folders: `DATA` and `OUT` of the notebooks.

    Returns:
        The files that were new or had changed. Each is replaced at one
        stroke; nothing is ever deleted there, and no newer file replaced.

    Raises:
        OSError: If the disk is full; what was there stays as it was.
    """
    found = []
    for folder, kept in _places(persist, folders):
        found += _pairs(folder, kept)
    return _copy(found, "keep")


def restore(persist: str | Path | None, *folders: str | Path) -> list[Path]:
    """Fetch back what `keep` has kept and is missing here.

    Args:
        persist: As for `keep`.
        *folders: As for `keep`.

    Returns:
        The files that were missing. A file that is there is not touched.
    """
    found = []
    for folder, kept in _places(persist, folders):
        pairs = _pairs(kept, folder)
        found += [pair for pair in pairs if not pair[1].exists()]
    return _copy(found, "fetch back")


def _places(persist, folders) -> list[tuple[Path, Path]]:
    """Say where each folder is kept; nowhere if `persist` is `None`."""
    folders = map(Path, folders if persist else ())
    return [(f, Path(persist) / f.resolve().name) for f in folders]


def _pairs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """List the files worth keeping, and where each of them goes."""
    names = (path.relative_to(source) for path in source.rglob("*"))
    # The last one says that the prepared images beside it are whole.
    kept = filter(_is_kept, names)
    kept = sorted(kept, key=lambda name: name.name == "images.json")
    return [(source / n, target / n) for n in kept if (source / n).is_file()]


def _is_kept(path: Path) -> bool:
    unfinished = any(sign in path.name for sign in UNFINISHED)
    # <dataset>/images/…, <dataset>/prepared_150px.partial-1a2b/…
    return not (
        unfinished
        or any(part == LEFT_OUT or ".partial" in part for part in path.parts)
    )


def _copy(pairs: list[tuple[Path, Path]], what: str) -> list[Path]:
    pairs = [pair for pair in pairs if not _is_kept_already(*pair)]
    for source, target in tqdm(pairs, what, disable=not pairs):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        try:
            shutil.copy2(source, partial)  # with its time of change
            os.replace(partial, target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f"{what}: {source} could not be copied to {target.parent} "
                f"({error.strerror}); what was there stays",
            ) from None
    return [target for _, target in pairs]


def _is_kept_already(source: Path, target: Path) -> bool:
    """Tell if the target is the same, or newer."""
    if not target.exists():
        return False
    a, b = source.stat(), target.stat()
    # Some mounted drives keep whole seconds only.
    newer = b.st_mtime - a.st_mtime
    return newer >= 2 or a.st_size == b.st_size and newer > -2
