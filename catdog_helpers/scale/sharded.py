"""Prepare, extract features and predict, shard by shard, on any machine."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from catdog_helpers.scale.steps import extract_step, predict_step, prepare_step
from catdog_helpers.scale.store import Store
from catdog_helpers.scale.workers import check_engine, run_shards, to_listing

PER_SHARD = 2048  # 226 MB of pixels at 192 px, 5 MB of MobileNetV2's features
Source = str | Path | Iterable[str | Path]


def prepare_shards(
    source: Source, target: str | Path, image_size: int, **how: int | str | None
) -> int:
    """Decode photographs as `prepare` does, into shards at any address.

    A run that was killed goes on with the shards that are missing. A
    photograph that cannot be read is a row that says why.

    Args:
        source: A folder of photographs, at any address that fsspec knows;
            a list of paths and addresses; or shards with a column `path`.
        target: Folder, at any address, that gets a `.npy` of pixels and a
            `.parquet` of what was found for each shard.
        image_size: Side of the square images in pixels.
        how: `per_shard`, photographs in a shard, of which a worker holds one
            in memory (default 2048); `engine`, `None` or "ray" for many
            processes or machines; `workers`, one per GPU or core by default.

    Returns:
        The number of shards that were made; the others were there.

    Raises:
        ValueError: If there are no photographs, or `target` has other shards.
        ImportError: If `pip install 'catdog-helpers[ray]'` is needed.
    """
    return _run(prepare_step, source, target, {"image_size": image_size}, **how)


def extract_shards(
    model,
    source: Source,
    target: str | Path,
    *,
    image_size: int | None = None,
    mirrored: bool = False,
    batch_size: int = 32,
    dtype: str = "float16",
    precision: str = "float32",
    **how: int | str | None,
) -> int:
    """Run a frozen model over photographs, into shards at any address.

    A run that was killed goes on with the shards that are missing. A
    photograph that cannot be read has features of zero and a `reason`.

    Args:
        model: A frozen `keras.Model` from raw RGB in [0, 255].
        source: As for `prepare_shards`; or what it wrote, which is then not
            decoded again.
        target: Folder, at any address, that gets a `.npy` of features and a
            `.parquet` of rows for each shard: see `open_shards`.
        image_size: Side of the images in pixels, if the model takes any.
        mirrored: Flip the images left to right first.
        batch_size: Images at a time; changes only speed and memory.
        dtype: Of the features. "float16" halves them.
        precision: The number format to compute in.
        how: As for `prepare_shards`.

    Returns:
        The number of shards that were made; the others were there.

    Raises:
        ValueError: As `prepare_shards`, or if a feature is too large for
            `dtype`.
        ImportError: If `pip install 'catdog-helpers[ray]'` is needed.
    """
    from catdog_helpers.features import VERSION, layers_key
    from catdog_helpers.machine.precision import with_precision
    from catdog_helpers.saving import weights_sha256

    options = {"image_size": image_size or model.input_shape[1]}
    options |= {"mirrored": mirrored, "dtype": dtype}
    known = {"weights": weights_sha256(model), "precision": precision}
    known |= {"layers": layers_key(model), "version": VERSION}
    given = (source, target, options, batch_size, known)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        with_precision(model, precision).save(path)
        return _run(extract_step, *given, [path], **how)


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

    A run that was killed goes on with the shards that are missing.

    Args:
        model_path: As for `predict`.
        source: As for `prepare_shards`.
        target: Folder, at any address, that gets a `.parquet` of answers for
            each shard, with the columns that `predict` yields.
        batch_size: Photographs at a time; changes only speed and memory.
        mirror: As for `predict`.
        how: As for `prepare_shards`.

    Returns:
        The number of shards that were made; the others were there.

    Raises:
        ValueError: As `prepare_shards`, or if the model's files do not belong
            together.
        FileNotFoundError: If the model or what belongs to it is missing.
        ImportError: If `pip install 'catdog-helpers[ray]'` is needed.
    """
    from catdog_helpers.saving import load_model

    path = Path(model_path)
    _, card = load_model(path)
    files = [path.with_suffix(s) for s in (".keras", ".json", ".npz")]
    files = [file for file in files if file.is_file()]
    options = {"model": path.name, "mirror": mirror}
    known = {"weights": card["weights_sha256"]}
    given = (source, target, options, batch_size, known, files)
    return _run(predict_step, *given, **how)


def _run(
    step,
    source: Source,
    target: str | Path,
    options: dict,
    batch_size: int | None = None,
    known: dict | None = None,
    files: Iterable[Path] = (),
    *,
    per_shard: int = PER_SHARD,
    engine: str | None = None,
    workers: int | None = None,
) -> int:
    check_engine(engine)
    target = Store(target)
    source = to_listing(source, target, per_shard)
    parts = {"step": step.__name__, "source": source.address}
    parts |= {"shards": len(source.names())}
    target.claim(parts | (known or {}) | options)
    model = Store(f"{target.address}/model")
    for file in files:  # where every worker finds it
        model.put(file.name, lambda f, file=file: f.write(file.read_bytes()))
    if batch_size:  # what changes no result is not claimed
        options |= {"batch_size": batch_size}
    run = {"engine": engine, "workers": workers, "gpu": bool(files)}
    return run_shards(step, source, target, options, **run)
