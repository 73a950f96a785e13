"""Prepare, extract features and predict, shard by shard, on any machine."""

import tempfile
from pathlib import Path

from catdog_helpers.scale.engines import run_shards
from catdog_helpers.scale.listing import Source
from catdog_helpers.scale.steps import extract_step, predict_step, prepare_step


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
            "ray" for many processes or machines: the cluster that `ray.init`
            or `RAY_ADDRESS` names, else one that is started here; `workers`
            of Ray, one per GPU or core by default.

    Returns:
        The number of shards that were made, without those found complete.

    Raises:
        ValueError: If there are no photographs, `target` has other shards, or
            a shard cannot be made.
        ImportError: If a package of the extra `ray` is missing.
    """
    options = {"image_size": image_size}
    return run_shards(prepare_step, source, target, options, **how)


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

    A photograph that is not readable has features of zero and a `reason`.

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
        The number of shards that were made, without those found complete.

    Raises:
        ValueError: As `prepare_shards`, or if a feature exceeds `dtype`.
    """
    from catdog_helpers.features import VERSION, layers_key
    from catdog_helpers.machine.precision import with_precision
    from catdog_helpers.saving import weights_sha256

    options = {
        "image_size": image_size or model.input_shape[1],
        "mirrored": mirrored,
        "dtype": dtype,
        "batch_size": batch_size,
    }
    how["known"] = {
        "weights": weights_sha256(model),
        "precision": precision,
        "layers": layers_key(model),
        "version": VERSION,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        with_precision(model, precision).save(path)
        how["files"] = (path,)
        return run_shards(extract_step, source, target, options, **how)


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
        target: Folder, at any address, that gets a `.parquet` of answers for
            each shard, with the columns that `predict` yields.
        batch_size: Photographs at a time; changes only speed and memory.
        mirror: As for `predict`.
        how: As for `prepare_shards`.

    Returns:
        The number of shards that were made, without those found complete.

    Raises:
        ValueError: As `prepare_shards`, and as `load_model`.
        FileNotFoundError: As `load_model`.
    """
    from catdog_helpers.saving import load_model

    path = Path(model_path)
    _, card = load_model(path)
    files = [path.with_suffix(s) for s in (".keras", ".json", ".npz")]
    how["files"] = tuple(file for file in files if file.is_file())
    how["known"] = {"weights": card["weights_sha256"]}
    options = {"model": path.name, "mirror": mirror, "batch_size": batch_size}
    return run_shards(predict_step, source, target, options, **how)
