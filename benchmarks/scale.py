"""Measure what shards and Ray cost, and what many photographs would take.

    python -m benchmarks.scale

writes `benchmarks/results/scale.json` and the table of
`docs/many_machines.md`. It takes a few minutes and is best run on a machine
that has nothing else to do.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

import catdog_helpers as ch
from benchmarks import material
from benchmarks.record import save_record, today_and_here
from catdog_helpers.saving import save_model
from catdog_helpers.scale import prepare_shards

SIDE, PER_SHARD = 192, 512
FEW, MANY = 16, 256  # shards of one photograph each
STEPS = {"prepare": 8192, "extract": 2048, "predict": 2048}  # photographs
PLAN = 2048  # photographs in a shard, as the functions have it
MILLION, BILLION = 10**6, 10**9
NET = 1.25e9  # bytes a second of a network of 10 Gbit/s


def measure(work: Path) -> dict:
    """Run each step as a plain loop, then by one worker and one per core.

    Args:
        work: Folder for the data and the results.

    Returns:
        The record: what `to_table` takes.
    """
    paths = sorted(material.many(work).rglob("*.*g"))[: max(STEPS.values())]
    for path in paths:  # from the disk into the page cache
        path.read_bytes()
    model_path, whole = _models(work)

    def run(step: str, photos: list, **how) -> float:
        with tempfile.TemporaryDirectory(dir=work) as target:
            start = time.perf_counter()
            if step == "prepare":
                prepare_shards(photos, target, SIDE, **how)
            elif step == "predict":
                ch.scale.predict_shards(model_path, photos, target, **how)
            else:
                how["image_size"] = SIDE
                ch.scale.extract_shards(whole, photos, target, **how)
            return time.perf_counter() - start

    import ray

    cores = os.cpu_count()
    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False)
    record = {
        **today_and_here(),
        "ray": ray.__version__,
        "dataset": Path(material.dataset()).name,
        "image_size": SIDE,
        "per_shard": PER_SHARD,
        "bytes": float(np.mean([path.stat().st_size for path in paths])),
        "steps": {},
        "engine": _engine(run, paths),
    }
    engines = {
        "plain": {},
        "one worker": {"engine": "ray", "workers": 1},
        "all cores": {"engine": "ray", "workers": cores},
    }
    for step, n in STEPS.items():
        photos = paths[:n]
        found = record["steps"][step] = {"photographs": len(photos)}
        for name, how in engines.items():
            # What is the same for one shard: starting Ray's workers, Keras
            start = run(step, paths[:1], **how)
            found[name] = run(step, photos, per_shard=PER_SHARD, **how)
            found[f"{name}, start"] = start
            print(step, name, found[name], start, flush=True)
    ray.shutdown()
    return record


def _engine(run, paths: list[Path]) -> dict:
    """What a shard costs however small it is, and a name in the list."""
    seconds = {}
    for name, how in {"plain": {}, "ray": {"engine": "ray"}}.items():
        run("prepare", paths[:FEW], per_shard=1, workers=1, **how)
        few, many = (
            run("prepare", paths[:n], per_shard=1, workers=1, **how)
            for n in (FEW, MANY)
        )
        seconds[name] = (many - few) / (MANY - FEW)
    from catdog_helpers.scale.storage import Storage, list_shards

    n = 200_000
    names = (f"s3://bucket/photos/{i % 999}/{i:09d}.jpg" for i in range(n))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        listing = list_shards(names, Storage(folder), PLAN)
        seconds["list a photograph"] = (time.perf_counter() - start) / n
        files = Path(listing.root).glob("*.parquet")
        size = sum(path.stat().st_size for path in files)
    seconds["listing, bytes a photograph"] = size / n
    return seconds


def _models(work: Path):
    """A classifier that is saved, and the part of it that is frozen."""
    import keras

    _, base = material.load_base(SIDE)
    pooling = keras.layers.GlobalAveragePooling2D()
    shape = keras.Input((SIDE, SIDE, 3))
    whole = keras.Sequential([shape, base, pooling])
    head = ch.build_head(whole.output_shape[1:], 2)
    card = {"class_names": ["cat", "dog"], "image_size": SIDE}
    path = work / "scale.keras"
    save_model(ch.join(base, head), path, card)
    return path, whole


def per_second(record: dict, step: str, engine: str) -> float:
    """Give photographs a second, without what is there only once."""
    found = record["steps"][step]
    n = found["photographs"] - 1
    return n / (found[engine] - found[f"{engine}, start"])


def to_table(record: dict) -> str:
    """Format a record as `docs/many_machines.md` shows it.

    Args:
        record: What `measure` returned.

    Returns:
        Markdown: a row for each step, and what limits them.
    """
    lines = [
        "| step | photographs a second: plain loop | Ray, one worker | Ray, "
        "a worker per core | machine-hours for a million | for a billion |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for step in STEPS:
        plain, one, all_cores = (
            per_second(record, step, engine)
            for engine in ("plain", "one worker", "all cores")
        )
        hours = MILLION / all_cores / 3600
        lines.append(
            f"| {step} | {plain:,.0f} | {one:,.0f} | {all_cores:,.0f} | "
            f"{hours:.1f} | {hours * BILLION / MILLION:,.0f} |"
        )
    return "\n".join([*lines, "", _limits(record), "", _conditions(record)])


def _limits(record: dict) -> str:
    engine, size = record["engine"], record["bytes"]
    rates = [per_second(record, x, "all cores") for x in ("prepare", "extract")]
    shard = engine["ray"]
    handed, fed = ([x / r for r in rates] for x in (PLAN / shard, NET / size))
    listed = BILLION * engine["list a photograph"] / 3600
    gigabytes = BILLION * engine["listing, bytes a photograph"] / 1e9
    return (
        "The hours grow in proportion to the photographs. Machines share them "
        "until one of these is busy:\n\n"
        f"- The program that hands out the shards needs at most "
        f"{1e3 * shard:.0f} ms for each. With {PLAN:,} photographs in a shard "
        f"that keeps {handed[0]:,.0f} of these machines preparing, or "
        f"{handed[1]:,.0f} extracting. Beyond: larger shards (`per_shard`).\n"
        f"- A network of 10 Gbit/s feeds {fed[0]:,.0f} that prepare, or "
        f"{fed[1]:,.0f} that extract, with photographs of {size / 1e3:.0f} kB; "
        "larger ones in proportion fewer.\n"
        "- One process writes the list of the photographs: for a billion "
        f"{listed:.1f} hours and {gigabytes:.0f} GB of disk, besides what the "
        "storage takes to name them. Memory holds one folder's names, and "
        f"those of the {BILLION / PLAN:,.0f} shards."
    )


def _conditions(record: dict) -> str:
    return (
        f"{record['steps']['extract']['photographs']:,} photographs "
        f"(`{record['dataset']}`; prepare: "
        f"{record['steps']['prepare']['photographs']:,}), "
        f"{record['image_size']} px, MobileNetV2, shards of "
        f"{record['per_shard']}, without the start of Ray and Keras. "
        f"{record['date']}; one machine of {record['machine']}; Ray "
        f"{record['ray']}. More machines were not measured, their hours are "
        "computed."
    )


def main() -> None:
    """Measure, and write the record and the table."""
    with tempfile.TemporaryDirectory() as work:
        record = measure(Path(work))
    print(save_record(record, "scale", to_table(record)))


if __name__ == "__main__":
    main()
