"""Prepare, extract features and predict, shard by shard, on any machine."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm.auto import tqdm

from catdog_helpers.scale.steps import extract_step, predict_step, prepare_step
from catdog_helpers.scale.storage import Source, Storage, list_shards, require

PER_SHARD = 2048  # 226 MB of pixels at 192 px, 5 MB of MobileNetV2's features


def prepare_shards(
    source: Source, target: str | Path, image_size: int, **how: int | str | None
) -> int:
    """Decode photographs as `prepare` does, into shards at any address.

    A run that was killed goes on with the shards that are missing. A
    photograph that is not readable is a row that says why.

    Args:
        source: A folder of photographs, at any address that fsspec knows;
            a list of paths and addresses; or shards with a column `path`.
        target: Folder, at any address, that gets a `.npy` of pixels and a
            `.parquet` of what was found for each shard.
        image_size: Side of the square images in pixels.
        how: `per_shard`, photographs in a shard, of which a worker holds one
            in memory (default 2048); `engine`, `None` for a plain loop or
            "ray" for many processes or machines; `workers` of Ray, one per
            GPU or core by default.

    Returns:
        The number of shards that were made, without those found complete.

    Raises:
        ValueError: If there are no photographs, `target` has other shards, or
            a shard cannot be made.
        ImportError: If a package of the extra `ray` is missing.
    """
    return _run(prepare_step, source, target, {"image_size": image_size}, **how)


def extract_shards(
    model,
    source: Source,
    target: str | Path,
    *,
    image_size: int | None = None,
    batch_size: int = 32,
    dtype: str = "float16",
    **how: int | str | None,
) -> int:
    """Run a frozen model over photographs, into shards at any address.

    A photograph that is not readable has features of zero and a `reason`.

    Args:
        model: A frozen `keras.Model` from raw RGB in [0, 255].
        source: As for `prepare_shards`; or what it wrote.
        target: Folder that gets a `.npy` of features and a `.parquet` of rows
            for each shard: see `open_shards`.
        image_size: Side of the images in pixels, if the model takes any.
        batch_size: Images at a time; changes only speed and memory.
        dtype: Of the features. "float16" halves them.
        how: As for `prepare_shards`.

    Returns:
        The number of shards that were made.

    Raises:
        ValueError: As `prepare_shards`, or if a feature exceeds `dtype`.
    """
    # Not above: Ray's workers import this before the backend is chosen.
    from catdog_helpers.features import VERSION
    from catdog_helpers.machine.networks import layers_key, weights_sha256

    options = {
        "image_size": image_size or model.input_shape[1],
        "dtype": dtype,
        "batch_size": batch_size,
    }
    known = {"weights": weights_sha256(model), "layers": layers_key(model)}
    how["known"] = known | {"version": VERSION}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return _run(extract_step, source, target, options, files=[path], **how)


def predict_shards(
    model_path: str | Path,
    source: Source,
    target: str | Path,
    *,
    batch_size: int = 32,
    mirror: bool = False,
    **how: int | str | None,
) -> int:
    """Predict the class of photographs, into shards at any address.

    Args:
        model_path: As for `predict`.
        source: As for `prepare_shards`.
        target: Folder that gets a `.parquet` of the rows that `predict`
            yields for each shard.
        batch_size: As for `predict`.
        mirror: As for `predict`.
        how: As for `prepare_shards`.

    Returns:
        The number of shards that were made.

    Raises:
        ValueError: As `prepare_shards`, and as `load_model`.
    """
    from catdog_helpers.saving import load_model

    path = Path(model_path)
    how["known"] = {"weights": load_model(path)[1]["weights_sha256"]}
    files = [path.with_suffix(s) for s in (".keras", ".json", ".npz")]
    files = [file for file in files if file.is_file()]
    options = {"model": path.name, "mirror": mirror, "batch_size": batch_size}
    return _run(predict_step, source, target, options, files=files, **how)


def _run(
    step: Callable,
    source: Source,
    target: str | Path,
    options: dict,
    *,
    known: dict | None = None,
    files: Sequence[Path] = (),
    per_shard: int = PER_SHARD,
    engine: str | None = None,
    workers: int | None = None,
) -> int:
    """Run a step for each missing shard; return how many these were."""
    if engine not in (None, "ray"):
        raise ValueError(f"`engine` must be 'ray'. Received: {engine!r}")
    require(*filter(None, [engine]))
    target = Storage(target)
    source = list_shards(source, target, per_shard)
    parts = {"step": step.__name__, "source": source.address}
    parts |= {"shards": len(source.names())} | (known or {}) | options
    parts.pop("batch_size", None)  # changes no result
    target.claim(parts)
    names = sorted({*source.names()} - {*target.names()})
    model = {file.name: file.read_bytes() for file in files}
    given = step, source.address, target.address, options, model
    if engine and names:
        done = _with_ray(given, names, workers)
    else:
        done = map(_Worker(*given).make, names) if names else ()
    bar = step.__name__.removesuffix("_step")
    for name, error in tqdm(done, bar, len(names), unit=" shards"):
        if error:
            raise ValueError(f"shard {name}: {error}")
    return len(names)


def _with_ray(given: tuple, names: list[str], workers: int | None) -> Iterator:
    """Make shards on the cluster that Ray knows, or else on this machine."""
    import ray
    from ray.util import ActorPool

    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    ray.init(include_dashboard=False, ignore_reinit_error=True, **quiet)
    have, (*given, model) = ray.cluster_resources(), given
    gpus = int(have.get("GPU", 0)) if model else 0
    workers = min(workers or gpus or int(have["CPU"]), len(names))
    # A worker that dies is started again, and makes its shard again.
    again = {"max_restarts": -1, "max_task_retries": -1}
    actor = ray.remote(num_cpus=1, num_gpus=min(1, gpus), **again)(_Worker)
    keras = sys.modules.get("keras")
    given += ray.put(model), keras and keras.config.backend()
    actors = [actor.remote(*given) for _ in range(workers)]
    make = ActorPool(actors).map_unordered
    # This keeps the model in Ray's store for workers that start again.
    yield from make(lambda x, name: x.make.remote(name), names)


class _Worker:
    """Make one shard after the other; Ray starts many of it."""

    def __init__(self, step, source, target, options, model, backend=None):
        if backend:
            os.environ["KERAS_BACKEND"] = backend
            # There is a worker for each core.
            os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
        self.source, self.target = Storage(source), Storage(target)
        with tempfile.TemporaryDirectory() as folder:
            for name, data in model.items():
                Path(folder, name).write_bytes(data)
            self.step = step(self.source, Path(folder), **options)

    def make(self, name: str) -> tuple[str, str]:
        """Make a shard unless it is complete; return why it cannot be made."""
        try:
            if not self.target.has(f"{name}.parquet"):
                made = self.step(name, self.source.table(name))
                self.target.write(name, *made)
        except (ValueError, OSError) as error:  # Ray's own has 50 lines
            return name, str(error)
        return name, ""
