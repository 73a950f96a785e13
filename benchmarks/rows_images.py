"""Rows of the benchmark: photographs in, batches and answers out."""

import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import catdog_helpers as ch
from benchmarks import material
from benchmarks.measure import Peak, alternate, to_ratio
from catdog_helpers.saving import save_model


def to_row(
    name: str, floor: float | None, ours: dict, theirs: dict, **more
) -> dict:
    """Put what `alternate` found of two sides into a row of the table."""
    return {
        "row": name,
        "floor": floor,
        **to_ratio(ours["seconds"], theirs["seconds"]),
        "rounds": len(ours["seconds"]),
        "ours": ours,
        "theirs": theirs,
        **more,
    }


def measure_prepare(work: Path, size: dict) -> list[dict]:
    """Decode, check and resize, against `load_img` in a loop."""
    from benchmarks.peers import decode_in_a_loop

    folder = material.originals(work, size["originals"])
    paths = sorted(folder.rglob("*.jpg"))

    def ours():
        with tempfile.TemporaryDirectory(dir=work) as target:
            start = time.perf_counter()
            ch.prepare(folder, target, size["side"])
            return time.perf_counter() - start

    def theirs(interpolation):
        decode_in_a_loop(paths, size["side"], interpolation)

    # Ours interpolates so, too. Their default drops pixels: quick, and jagged.
    sides = {
        "ours": ours,
        "theirs": lambda: theirs("bicubic"),
        "nearest": lambda: theirs("nearest"),
    }
    found = alternate(sides, size["rounds"])
    nearest = found.pop("nearest")
    note = f"{len(paths)} photographs at their own size, to {size['side']} px"
    return [
        to_row("prepare", 2.5, **found, note=note),
        to_row("the same, nearest", None, found["ours"], nearest, note=note),
    ]


def measure_input(work: Path, size: dict) -> list[dict]:
    """Second epoch: from the prepared array, against files decoded anew."""
    from benchmarks.peers import directory_batches

    folder = material.originals(work, size["originals"])
    images, manifest = ch.prepare(folder, work / "input", size["side"])
    labels = manifest["class"].factorize()[0]
    batches = ch.Batches(images, labels, shuffle=True, augment=True)
    others = directory_batches(folder, size["side"])

    def ours():
        for k in range(len(batches)):
            batches[k]
        batches.on_epoch_end()

    def theirs():
        for _ in others:
            pass

    ours(), theirs()  # the first epoch
    found = alternate({"ours": ours, "theirs": theirs}, size["rounds"])
    note = f"{len(images)} photographs, {size['side']} px"
    return [to_row("second epoch's input", 5, **found, note=note)]


def measure_predict(work: Path, size: dict) -> list[dict]:
    """Photographs in a folder, against `model.predict` on an array."""
    folder = material.originals(work, size["predict_images"])
    path, model, side = save_a_model(work, size)
    images, _ = ch.prepare(folder, work / "predict", side)
    decoded, batch = images.astype("float32"), 32
    model.predict(decoded[:batch], verbose=0)

    def ours():
        rows = ch.predict(path, [folder], batch_size=batch)
        next(rows)  # the model is loaded, the first batch is answered
        start = time.perf_counter()
        answered = 1 + sum(1 for _ in rows)
        seconds = time.perf_counter() - start
        return seconds * answered / (answered - batch)

    def theirs():
        model.predict(decoded, batch_size=batch, verbose=0)

    found = alternate({"ours": ours, "theirs": theirs}, size["few_rounds"])
    note = f"{len(images)} photographs, {model.name}, {side} px, after loading"
    return [to_row("predict", 0.85, **found, note=note)]


def measure_growth(work: Path, size: dict) -> list[dict]:
    """Time and memory of prepare and extract at n, 2n and 4n images."""
    n, counts = size["growth"], [1, 2, 4]
    found = {f"{k}n": {"seconds": [], "peak_mb": []} for k in counts}
    spawn = multiprocessing.get_context("spawn")
    for number in range(1, size["few_rounds"] + 1):
        for k in counts:  # each in a process of its own
            folder = _some_of(work, k * n)
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                job = pool.submit(grow, folder, work, size["side"])
                seconds, peak = job.result()
            found[f"{k}n"]["seconds"].append(seconds)
            found[f"{k}n"]["peak_mb"].append(peak)
            print(f"round {number}  {k * n} images {seconds:.3g} s", flush=True)
    note = f"n = {n}, prepare and extract"
    return [
        to_growth_row(found, "seconds", note),
        to_growth_row(found, "peak_mb", note),
    ]


def to_growth_row(found: dict, what: str, note: str) -> dict:
    """Compare what 2n and 4n took with what n lets expect; the worse counts."""
    name = {"seconds": "growth, time", "peak_mb": "growth, memory"}[what]
    once = found["1n"][what]
    rows = []
    for k in (2, 4):
        expected = [k * x if what == "seconds" else x for x in once]
        ratio = to_ratio(found[f"{k}n"][what], expected)
        rows.append({**ratio, "rounds": len(once), "against": f"{k}n"})
    worst = min(rows, key=lambda row: row["ratio"])
    floor = 1 / 1.15  # at most 15 % above it
    return {"row": name, "floor": floor, **worst, "sizes": found, "note": note}


def grow(folder: Path, work: Path, side: int) -> tuple[float, float]:
    """Prepare a folder and extract its features, in this process."""
    name, base_model = material.load_base(side)
    front, _ = ch.cut_base(base_model, ch.default_cut(name))
    front.predict_on_batch(np.zeros((32, side, side, 3), "float32"))
    with tempfile.TemporaryDirectory(dir=work) as target, Peak() as peak:
        start = time.perf_counter()
        images, manifest = ch.prepare(folder, target, side)
        rows, options = np.arange(len(images)), {"precision": "float32"}
        ch.extract_features(front, images, rows, name="front", **options)
        seconds = time.perf_counter() - start
    return seconds, peak.megabytes


def _some_of(work: Path, n: int) -> Path:
    """Return a folder with links to `n` of the larger set's files."""
    target, source = work / f"growth-{n}", material.many(work)
    if not target.is_dir():
        partial = target.with_suffix(f".{os.getpid()}")
        table = ch.index_images(source)
        rank = table.groupby("class").cumcount()
        for path in table.path[rank.sort_values(kind="stable").index[:n]]:
            link = partial / Path(path).parent.name / Path(path).name
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / path, link)
        partial.rename(target)
    return target


def save_a_model(work: Path, size: dict):
    """Save a base with an untrained head: its speed is that of a trained."""
    import keras

    side = size["predict_side"]
    _, base_model = material.load_base(side)
    head = ch.build_head((base_model.output_shape[-1],), 2)
    model = ch.join(base_model, head)
    model.name = base_model.name
    keras.utils.set_random_seed(0)
    card = {"class_names": ["cat", "dog"], "image_size": side}
    path = work / "predict.keras"
    save_model(model, path, card)
    return path, model, side
