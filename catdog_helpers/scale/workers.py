"""Run a step over shards, one after the other or on many machines by Ray."""

import hashlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from catdog_helpers.data.archive import IMAGES, is_clutter
from catdog_helpers.machine.failures import printable
from catdog_helpers.scale.store import Store, require

BLOCKS = 10_000  # units that Ray keeps account of, at most


def run_shards(
    step: Callable,
    source: Store,
    target: Store,
    options: dict,
    *,
    engine: str | None = None,
    workers: int | None = None,
    gpu: bool = False,
) -> int:
    """Do a step for each shard that is missing.

    Args:
        step: `step(source, target, **options)` is called once per worker, and
            what it returns is called with each shard's name and table, to
            give the table, and the array if any, that are written.
        source: The shards to work on.
        target: Where the results go.
        options: What travels to the workers besides.
        engine: `None`: here, one shard after the other. "ray": by Ray's
            workers, of the cluster that `ray.init` or `RAY_ADDRESS` names, or
            else of one that is started on this machine.
        workers: How many; one per GPU, or per CPU core, if `None`.
        gpu: Whether a GPU, if there are any, makes the step faster.

    Returns:
        The number of shards that were made.

    Raises:
        ValueError: If a shard cannot be made.
    """
    names = sorted(set(source.names()) - set(target.names()))
    given = (step, source.address, target.address, options)
    if engine == "ray" and names:
        done = _with_ray(given, names, workers, gpu)
    else:
        done = map(_Worker(*given).do, names) if names else ()
    bar = step.__name__.removesuffix("_step")
    for _ in tqdm(done, bar, len(names), unit=" shards"):
        pass
    return len(names)


def check_engine(engine: str | None) -> None:
    """Raise ValueError if there is no such engine, ImportError if no Ray."""
    if engine not in (None, "ray"):
        raise ValueError(
            f"`engine` must be None or 'ray'. Received: {engine!r}"
        )
    if engine:
        require("ray")


def _with_ray(given, names, workers, gpu) -> Iterator[dict]:
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # the bar says all
    if not ray.is_initialized():
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        ray.init(include_dashboard=False, **quiet)
    have = ray.cluster_resources()
    gpus = int(have.get("GPU", 0)) if gpu else 0
    workers = min(workers or gpus or int(have["CPU"]), len(names))
    keras = sys.modules.get("keras")
    data = ray.data.from_items(
        [{"name": name} for name in names],
        override_num_blocks=min(BLOCKS, len(names)),
    )
    # A worker that dies is started again, and does its shard again.
    done = data.map_batches(
        _Worker,
        fn_constructor_args=(*given, keras and keras.config.backend()),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
        num_gpus=min(1, gpus),
    )
    done.context.enable_progress_bars = False
    for row in done.iter_rows():
        if row["error"]:
            raise ValueError(f"shard {row['name']}: {row['error']}")
        yield row


class _Worker:
    """Does the step for one shard after the other; Ray starts many of it."""

    def __init__(self, step, source, target, options, backend=None):
        if backend:
            os.environ["KERAS_BACKEND"] = backend
            # There is a worker for each core.
            os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
        self.source, self.target = Store(source), Store(target)
        self.make = step(self.source, self.target, **options)

    def do(self, name: str) -> None:
        if not self.target.has(f"{name}.parquet"):
            made = self.make(name, self.source.table(name))
            self.target.write(name, *made)

    def __call__(self, batch: dict) -> dict:
        error = ""
        try:
            self.do(str(batch["name"][0]))
        except (ValueError, OSError) as reason:  # Ray's own tale has 50 lines
            error = str(reason)
        return batch | {"error": [error]}


def to_listing(
    source: str | Path | Iterable[str], target: Store, per_shard: int
) -> Store:
    """Give the shards that are to be worked on.

    Args:
        source: A folder of shards; or a folder of photographs, or paths and
            addresses of photographs, which are listed in shards once:
            whatever comes later, a run that goes on has the same.
        target: Where the results go; the list goes to `listing` in it.
        per_shard: Photographs in a shard.

    Returns:
        The shards, each with `path` and `class` (the folder's name).

    Raises:
        ValueError: If there are no photographs, or shards without paths.
    """
    if isinstance(source, (str, Path)):
        store = Store(source)
        if names := store.names():
            if "path" not in store.table(names[0]):
                raise ValueError(f"{source}: shards need a column `path`")
            return store
        source, paths = store.address, _walk(store)
    else:
        paths = [str(path) for path in source]
        digest = hashlib.sha256("\n".join(paths).encode(errors="replace"))
        source, paths = digest.hexdigest(), iter(paths)
    listing = Store(f"{target.address}/listing")
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


def _walk(store: Store) -> Iterator[str]:
    """Find photographs; memory holds the names of one folder at a time."""
    for folder, folders, files in store.fs.walk(store.root):
        folders[:] = sorted(x for x in folders if not is_clutter(x))
        for name in sorted(files):
            if name.lower().endswith(IMAGES) and not is_clutter(name):
                path = f"{folder}/{name}"
                address = store.fs.unstrip_protocol(path)
                yield path if store.is_local else address
