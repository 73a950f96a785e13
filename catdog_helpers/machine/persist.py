"""Keep what a session has made in a folder that outlives it."""

import filecmp
import os
import shutil
import warnings
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
        nothing is ever deleted there, and no newer file is replaced; a
        warning names those that differ.

    Raises:
        OSError: If the disk is full; what was there stays as it was.
    """
    return _copy("back up", _pairs(persist, folders))


def restore(
    *folders: str | Path, persist: str | Path | None = None
) -> list[Path]:
    """Copy back what `backup` has kept and what is missing here.

    Args:
        *folders: As for `backup`.
        persist: As for `backup`.

    Returns:
        The files that were missing. A file that is there is not touched.
    """
    pairs = _pairs(persist, folders, back=True)
    return _copy("restore", [pair for pair in pairs if not pair[1].exists()])


def lasting(path: str | Path) -> Path:
    """Return where a file of an unfinished training outlives the session."""
    persist = os.environ.get("CATDOG_PERSIST")
    name = Path(path).name
    return Path(persist, "checkpoints", name) if persist else Path(path)


def _pairs(
    persist: str | Path | None, folders: tuple, *, back: bool = False
) -> list[tuple[Path, Path]]:
    """List the files worth copying and where to; none without `persist`."""
    persist = persist or os.environ.get("CATDOG_PERSIST")
    pairs = []
    for folder in map(Path, folders if persist else ()):
        source, target = folder, Path(persist) / folder.resolve().name
        if back:
            source, target = target, source
        names = (path.relative_to(source) for path in source.rglob("*"))
        # Last, because it marks the prepared images beside it as complete
        names = sorted(names, key=lambda name: name.name == "images.json")
        pairs += [(source / n, target / n) for n in names if _is_kept(n)]
    return [pair for pair in pairs if pair[0].is_file()]


def _is_kept(name: Path) -> bool:
    """Return whether a file is worth keeping, by its path."""
    return not any(
        part == LEFT_OUT or any(sign in part for sign in UNFINISHED)
        for part in name.parts
    )


def _copy(what: str, pairs: list[tuple[Path, Path]]) -> list[Path]:
    """Copy the files that are missing or older at their target."""
    copied = []
    pairs = [pair for pair in pairs if _must_copy(*pair)]
    for source, target in tqdm(pairs, what, disable=not pairs):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # The time is read first: if another process replaces the file
            # meanwhile, its new content is copied again by the next call.
            times = source.stat().st_atime_ns, source.stat().st_mtime_ns
            with replacing(target) as partial:
                shutil.copyfile(source, partial)
                os.utime(partial, ns=times)
            copied.append(target)
        except OSError as error:
            if source.exists():
                place = str(target)
                raise OSError(error.errno, error.strerror, place) from None
            # Else another process has just deleted it.
    return copied


def _must_copy(source: Path, target: Path) -> bool:
    """Return whether the target is missing, or older and not the same."""
    try:
        a, b = source.stat(), target.stat()
        newer = b.st_mtime - a.st_mtime
        # Some mounted drives keep whole seconds only.
        dropped = newer >= 2 and not filecmp.cmp(source, target, shallow=False)
    except FileNotFoundError:
        return source.exists()
    if dropped:
        warnings.warn(
            f"{target} is newer than {source} and is kept. If the clock of "
            "this machine was set back, delete the file there and run again",
            stacklevel=4,
        )
    return newer <= -2 or a.st_size != b.st_size and newer < 2
