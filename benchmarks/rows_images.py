"""Rows of the benchmark: photographs in, answers out; start-up; the series."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

import catdog_helpers as ch
from benchmarks import material
from benchmarks.measure import Peak, alternate, to_row


def measure_prepare(work: Path, size: dict) -> list[dict]:
    """Decode, check and resize, against `load_img` in a loop."""
    from benchmarks.peers import decode_in_a_loop

    folder = material.originals(work, size["originals"])
    paths = sorted(folder.rglob("*.jpg"))

    def ours():
        with tempfile.TemporaryDirectory(dir=work) as target:
            start = time.perf_counter()
            ch.prepare(folder, target, size["side"])
            return time.perf_counter() - start, None

    # Ours interpolates so, too. Their default drops pixels: quick, and jagged.
    theirs = partial(decode_in_a_loop, paths, size["side"])
    sides = {
        "ours": ours,
        "theirs": partial(theirs, "bicubic"),
        "nearest": partial(theirs, "nearest"),
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
    side, batch = size["predict_side"], 32
    path, model = material.save_a_model(work, side)
    images, _ = ch.prepare(folder, work / "predict", side)
    decoded = images.astype("float32")
    model.predict(decoded[:batch], verbose=0)

    def ours():
        rows = ch.predict(path, [folder], batch_size=batch)
        next(rows)  # the model is loaded, the first batch is answered
        start = time.perf_counter()
        answered = 1 + sum(1 for _ in rows)
        seconds = time.perf_counter() - start
        return seconds * answered / (answered - batch), None

    def theirs():
        model.predict(decoded, batch_size=batch, verbose=0)

    found = alternate({"ours": ours, "theirs": theirs}, size["few_rounds"])
    note = f"{len(images)} photographs, {model.name}, {side} px, after loading"
    return [to_row("predict", 0.85, **found, note=note)]


def measure_growth(work: Path, size: dict) -> list[dict]:
    """Time and memory of prepare and extract at n, 2n and 4n images."""
    n, spawn = size["growth"], multiprocessing.get_context("spawn")

    def grow_apart(folder):
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            return pool.submit(grow, folder, work, size["side"]).result()

    folders = {f"{k}n": _some_of(work, k * n) for k in (1, 2, 4)}
    sides = {k: partial(grow_apart, folder) for k, folder in folders.items()}
    found = alternate(sides, size["few_rounds"])
    note = f"n = {n}, prepare and extract"
    return [
        to_growth_row("growth, time", found, "seconds", note),
        to_growth_row("growth, memory", found, "peak_mb", note),
    ]


def to_growth_row(name: str, found: dict, what: str, note: str) -> dict:
    """Compare what 2n and 4n took with what n lets expect; the worse counts."""
    rows = []
    for k in (2, 4):
        factor = k if what == "seconds" else 1
        expected = [factor * x for x in found["1n"][what]]
        sides = {"seconds": found[f"{k}n"][what]}, {"seconds": expected}
        # At most 15 % above it
        row = to_row(name, 1 / 1.15, *sides, against=f"{k}n", note=note)
        rows.append(row | {"sizes": found})
    return min(rows, key=lambda row: row["ratio"])


def grow(folder: Path, work: Path, side: int) -> tuple[float, float]:
    """Prepare a folder and extract its features, in this process."""
    name, base_model = material.load_base(side)
    front, _ = ch.cut_base(base_model, ch.default_cut(name))
    front.predict_on_batch(np.zeros((32, side, side, 3), "float32"))
    with tempfile.TemporaryDirectory(dir=work) as target, Peak() as peak:
        start = time.perf_counter()
        images, _ = ch.prepare(folder, target, side)
        rows = np.arange(len(images))
        ch.extract_features(
            front, images, rows, name="front", precision="float32"
        )
        seconds = time.perf_counter() - start
    return seconds, peak.megabytes


def _some_of(work: Path, n: int) -> Path:
    """Return a folder with links to `n` of the larger set's files."""
    target, source = work / f"growth-{n}", material.many(work)
    if not target.is_dir():
        partial_ = target.with_suffix(f".{os.getpid()}")
        table = ch.index_images(source)
        rank = table.groupby("class").cumcount()
        for path in table.path[rank.sort_values(kind="stable").index[:n]]:
            link = partial_ / Path(path).parent.name / Path(path).name
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / path, link)
        partial_.rename(target)
    return target


def measure_start_up(work: Path, size: dict) -> list[dict]:
    """Predict one photograph, against the framework's own start-up alone."""
    folder = material.originals(work, size["originals"])
    photograph = next(folder.rglob("*.jpg"))
    path, _ = material.save_a_model(work, size["predict_side"])
    predict = ["-m", "catdog_helpers", "predict", "--model", path, photograph]
    sides = {
        "ours": partial(_python, *predict),
        "theirs": partial(_python, "-c", "import tensorflow, keras"),
        "import": partial(_python, "-c", "import catdog_helpers"),
    }
    found = alternate(sides, size["few_rounds"])
    light = np.median(found.pop("import")["seconds"])
    note = (
        "theirs: `import tensorflow, keras`; `import catdog_helpers` alone "
        f"takes {light:.2f} s"
    )
    for side in found.values():  # in processes of their own
        side["peak_mb"] = None
    return [to_row("start-up", 0.5, **found, note=note)]


def measure_series(work: Path, size: dict) -> list[dict]:
    """Run the notebooks as the first `make run` does."""
    dials, run = material.import_tools()
    values, seconds = dials.parse_dials([]), {}
    with tempfile.TemporaryDirectory(dir=work) as target:
        values |= {"DATA": f"{target}/data", "OUT": f"{target}/out"}
        for path in dials.series():
            if path.name in values["NOTEBOOKS"]:
                start = time.perf_counter()
                run.run(values, [path])
                seconds[path.stem] = time.perf_counter() - start
    slowest, total = max(seconds, key=seconds.get), sum(seconds.values())
    return [
        {
            "absolute": "first `make run`, install apart",
            "text": f"{total:.0f} s; its slowest notebook, {slowest}, "
            f"{seconds[slowest]:.0f} s",
            "seconds": {"all": total, slowest: seconds[slowest]},
        }
    ]


def _python(*arguments):
    """Run Python with the checkout's package, whatever is installed."""
    path = [str(material.ROOT), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    env["PYTHONPATH"] = os.pathsep.join(path)
    command = [sys.executable, *map(str, arguments)]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
