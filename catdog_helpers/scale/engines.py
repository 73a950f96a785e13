"""Make the shards that are missing: in a plain loop, or by Ray's workers."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm.auto import tqdm

from catdog_helpers.scale.listing import Source, list_shards
from catdog_helpers.scale.storage import Storage, require

PER_SHARD = 2048  # 226 MB of pixels at 192 px, 5 MB of MobileNetV2's features


def run_shards(
    step: Callable,
    source: Source,
    target: str | Path,
    options: dict,
    *,
    known: dict | None = None,
    files: tuple[Path, ...] = (),
    per_shard: int = PER_SHARD,
    engine: str | None = None,
    workers: int | None = None,
) -> int:
    """Run a step of `steps.py` for each missing shard; count these.

    `target` gets a copy of `files`, the model; the record of its shards holds
    `known` and `options`.
    """
    if engine not in (None, "ray"):
        raise ValueError(
            f"`engine` must be None or 'ray'. Received: {engine!r}"
        )
    require("fsspec", "pyarrow", *([engine] if engine else []))
    target = Storage(target)
    source = list_shards(source, target, per_shard)
    parts = {"step": step.__name__, "source": source.address}
    parts |= {"shards": len(source.names())} | (known or {}) | options
    parts.pop("batch_size", None)  # changes no result
    target.claim(parts)
    model = Storage(f"{target.address}/model")
    for file in files:  # where every worker finds it
        model.put(file.name, lambda f, file=file: f.write(file.read_bytes()))
    names = sorted(set(source.names()) - set(target.names()))
    given, done = (step, source.address, target.address, options), ()
    if engine and names:
        done = _with_ray(given, names, workers, bool(files))
    elif names:
        done = map(_Worker(*given).make, names)
    bar = step.__name__.removesuffix("_step")
    for name, error in tqdm(done, bar, len(names), unit=" shards"):
        if error:
            raise ValueError(f"shard {name}: {error}")
    return len(names)


def _with_ray(given, names, workers, gpu) -> Iterator[tuple[str, str]]:
    """Make shards on the cluster that Ray knows, or else on this machine."""
    import ray
    from ray.util import ActorPool

    if not ray.is_initialized():
        ray.init(
            include_dashboard=False, log_to_driver=False, logging_level="ERROR"
        )
    have = ray.cluster_resources()
    gpus = int(have.get("GPU", 0)) if gpu else 0
    workers = min(workers or gpus or int(have["CPU"]), len(names))
    # A worker that dies is started again, and makes its shard again.
    actor = ray.remote(
        num_cpus=1,
        num_gpus=min(1, gpus),
        max_restarts=-1,
        max_task_retries=-1,
    )(_Worker)
    keras = sys.modules.get("keras")
    backend = keras and keras.config.backend()
    pool = ActorPool([actor.remote(*given, backend) for _ in range(workers)])
    return pool.map_unordered(lambda x, name: x.make.remote(name), names)


class _Worker:
    """Make one shard after the other; Ray starts many of it."""

    def __init__(self, step, source, target, options, backend=None):
        if backend:
            os.environ["KERAS_BACKEND"] = backend
            # There is a worker for each core.
            os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
        self.source, self.target = Storage(source), Storage(target)
        self.step = step(self.source, self.target, **options)

    def make(self, name: str) -> tuple[str, str]:
        """Make a shard unless it is complete; return why it cannot be made."""
        try:
            if not self.target.has(f"{name}.parquet"):
                made = self.step(name, self.source.table(name))
                self.target.write(name, *made)
        except (ValueError, OSError) as error:  # Ray's own has 50 lines
            return name, str(error)
        return name, ""
