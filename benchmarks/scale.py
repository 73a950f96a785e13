"""Measure what shards and Ray cost, and what many photographs would take.

    python -m benchmarks.scale

writes `benchmarks/results/scale.json` and the table of
`docs/many_machines.md`. It takes a few minutes and is best run on a machine
that has nothing else to do.
"""

import os
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

import catdog_helpers as ch
from benchmarks import material
from benchmarks.record import markdown, save_record, today_and_here
from catdog_helpers.scale import prepare_shards
from catdog_helpers.scale.storage import Storage, list_shards

SIDE, PER_SHARD = 192, 512
FEW, MANY = 16, 256  # shards of one photograph each
STEPS = {"prepare": 8192, "extract": 2048, "predict": 2048}  # photographs
PLAN = 2048  # photographs in a shard, as the functions have it
MILLION, BILLION = 10**6, 10**9
NET = 1.25e9  # bytes a second of a network of 10 Gbit/s


def measure(work: Path) -> dict:
    """Run each step as a plain loop, then by one worker and one per core."""
    import ray

    paths = sorted(material.many(work).rglob("*.*g"))[: max(STEPS.values())]
    for path in paths:  # from the disk into the page cache
        path.read_bytes()
    cores = os.cpu_count()
    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False)
    run = partial(_run, work, *_models(work))
    record = {
        **today_and_here(),
        "ray": ray.__version__,
        "dataset": Path(material.dataset()).name,
        "image_size": SIDE,
        "per_shard": PER_SHARD,
        "bytes": float(np.mean([path.stat().st_size for path in paths])),
        "steps": {},
        "engine": {**_shard_costs(run, paths), **_listing_costs()},
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
            found[f"{name}, start"] = run(step, paths[:1], **how)
            found[name] = run(step, photos, per_shard=PER_SHARD, **how)
            print(step, name, found[name], flush=True)
    ray.shutdown()
    return record


def _run(work, model_path, frozen, step: str, photos: list, **how) -> float:
    """Return the seconds of one step."""
    with tempfile.TemporaryDirectory(dir=work) as target:
        start = time.perf_counter()
        if step == "prepare":
            prepare_shards(photos, target, SIDE, **how)
        elif step == "predict":
            ch.scale.predict_shards(model_path, photos, target, **how)
        else:
            how["image_size"] = SIDE
            ch.scale.extract_shards(frozen, photos, target, **how)
        return time.perf_counter() - start


def _shard_costs(run, paths: list[Path]) -> dict:
    """Return what a shard costs, however small it is, by engine."""
    seconds = {}
    for name, how in {"plain": {}, "ray": {"engine": "ray"}}.items():
        run("prepare", paths[:FEW], per_shard=1, workers=1, **how)  # starts it
        few, many = (
            run("prepare", paths[:n], per_shard=1, workers=1, **how)
            for n in (FEW, MANY)
        )
        seconds[name] = (many - few) / (MANY - FEW)
    return seconds


def _listing_costs() -> dict:
    """Return what a name in the list of photographs costs."""
    n = 200_000
    names = (f"s3://bucket/photos/{i % 999}/{i:09d}.jpg" for i in range(n))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        listing = list_shards(names, Storage(folder), PLAN)
        seconds = time.perf_counter() - start
        files = Path(listing.root).glob("*.parquet")
        size = sum(path.stat().st_size for path in files)
    return {
        "list a photograph": seconds / n,
        "listing, bytes a photograph": size / n,
    }


def _models(work: Path):
    """Return a saved classifier's path, and the part of it that is frozen."""
    import keras

    path, model = material.save_a_model(work, SIDE)
    *frozen, _ = model.layers
    return path, keras.Sequential([keras.Input((SIDE, SIDE, 3)), *frozen])


def per_second(record: dict, step: str, engine: str) -> float:
    """Return photographs a second, without what is there only once."""
    found = record["steps"][step]
    n = found["photographs"] - 1
    return n / (found[engine] - found[f"{engine}, start"])


def to_table(record: dict) -> str:
    """Format a record as `docs/many_machines.md` shows it."""
    columns = "step | photographs a second: plain loop | Ray, one worker | "
    columns += "Ray, a worker per core | machine-hours for a million | "
    rows = []
    for step in STEPS:
        engines = "plain", "one worker", "all cores"
        rates = [per_second(record, step, engine) for engine in engines]
        hours = MILLION / rates[-1] / 3600
        cells = [f"{rate:,.0f}" for rate in rates]
        billion = f"{hours * BILLION / MILLION:,.0f}"
        rows.append([step, *cells, f"{hours:.1f}", billion])
    table = markdown(columns + "for a billion", rows)
    return "\n\n".join([table, _limits(record), _conditions(record)])


def _limits(record: dict) -> str:
    engine, size = record["engine"], record["bytes"]
    rates = [per_second(record, x, "all cores") for x in ("prepare", "extract")]
    handed = [PLAN / engine["ray"] / rate for rate in rates]
    fed = [NET / size / rate for rate in rates]
    listed = BILLION * engine["list a photograph"] / 3600
    gigabytes = BILLION * engine["listing, bytes a photograph"] / 1e9
    return (
        "The hours grow in proportion to the photographs. Machines share them "
        "until one of these is busy:\n\n"
        "- The program that hands out the shards needs at most "
        f"{1e3 * engine['ray']:.0f} ms for each. With {PLAN:,} photographs in "
        f"a shard that keeps {handed[0]:,.0f} of these machines preparing, or "
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
    steps = record["steps"]
    return (
        f"{steps['extract']['photographs']:,} photographs "
        f"(`{record['dataset']}`; prepare: "
        f"{steps['prepare']['photographs']:,}), {record['image_size']} px, "
        f"MobileNetV2, shards of {record['per_shard']}, without the start of "
        f"Ray and Keras. {record['date']}; one machine of {record['machine']}; "
        f"Ray {record['ray']}. More machines were not measured, their hours "
        "are computed."
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        found = measure(Path(work))
    save_record(found, "scale", to_table(found))
    print(to_table(found))
