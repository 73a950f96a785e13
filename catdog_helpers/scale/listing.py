"""List the photographs to work on, in shards."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pandas as pd

from catdog_helpers.data.archive import IMAGES, is_clutter
from catdog_helpers.machine.failures import printable
from catdog_helpers.scale.storage import Storage

Source = str | Path | Iterable[str | Path]


def list_shards(source: Source, target: Storage, per_shard: int) -> Storage:
    """Return shards with `path` and `class` (the name of the folder).

    Photographs are listed once, in `listing` in the target: a run that goes
    on works on the same ones, whatever has come since. Existing shards are
    returned as they are.
    """
    if isinstance(source, (str, Path)):
        storage = Storage(source)
        if names := storage.names():
            if "path" not in storage.table(names[0]):
                raise ValueError(f"{source}: shards need a column `path`")
            return storage
        source, paths = storage.address, _walk(storage)
    else:
        paths = [str(path) for path in source]
        digest = hashlib.sha256("\n".join(paths).encode(errors="replace"))
        source, paths = digest.hexdigest(), iter(paths)
    listing = Storage(f"{target.address}/listing")
    parts = {"source": source, "per_shard": per_shard}
    if listing.has("complete"):
        listing.claim(parts)
        return listing
    if target.has("listing"):  # half written, perhaps of other photographs
        listing.fs.rm(listing.root, recursive=True)
    listing.claim(parts)
    n = 0
    while some := [printable(path) for path in islice(paths, per_shard)]:
        classes = [path.split("/")[-2:][0] for path in some]
        table = pd.DataFrame({"path": some, "class": classes})
        listing.write(f"{n:07d}", table)
        n += 1
    if not n:
        raise ValueError(f"there are no photographs. Received: {source}")
    listing.put("complete", lambda file: None)
    return listing


def _walk(storage: Storage) -> Iterator[str]:
    """Find photographs; memory holds the names of one folder at a time."""
    for folder, folders, files in storage.fs.walk(storage.root):
        folders[:] = sorted(x for x in folders if not is_clutter(x))
        for name in sorted(files):
            if name.lower().endswith(IMAGES) and not is_clutter(name):
                path = f"{folder}/{name}"
                address = storage.fs.unstrip_protocol(path)
                yield path if storage.is_local else address
