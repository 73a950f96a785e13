"""Rows of the benchmark: engines and formats, and the way to a good head."""

import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import catdog_helpers as ch
from benchmarks import material
from benchmarks.measure import alternate, to_row
from benchmarks.to_98 import SIDES
from catdog_helpers.machine.engine import BATCH, figures, open_engine
from catdog_helpers.machine.networks import layers_key

OURS = "this package"
TORCH = material.ROOT / ".venv-torch" / "bin" / "python"
LITE = "weights/efficientnet_lite2_imagenet_raw_rgb.keras"


def measure_engines(work: Path, size: dict) -> list[dict]:
    """Each base in every engine and format here, against the chosen one."""
    limit, rows = _matrix_rate(size["matrix"]), []
    for name, side in size["bases"]:
        if name == "EfficientNet-Lite2" and not material.is_real():
            continue
        path = material.SHARED / LITE if "Lite2" in name else name
        how = "imagenet" if "Lite2" in name or name == "sample" else None
        model = ch.load_base(path, how, image_size=side)
        x = np.random.default_rng(0).uniform(0, 255, (BATCH, side, side, 3))
        x = x.astype("float32")
        key = layers_key(model)
        chosen = ch.machine.choose(model, x, 10**6, key)
        sides = {
            choice: partial(_run, open_engine(model, choice, x), x)
            for choice in ch.machine.choices()
        }
        for side_ in sides.values():
            side_()
        found = alternate(sides, size["rounds"])
        least = {k: min(side["seconds"]) for k, side in found.items()}
        # A trial leaves out what moves the features by more than 2 %.
        tried = figures(key, x) or chosen
        best = min((k for k in least if k in tried), key=least.get)
        rates = ", ".join(
            f"{k} {BATCH / s:.0f}{'' if k in tried else ' (too inexact)'}"
            for k, s in least.items()
        )
        fixed = keras.Input((side, side, 3))
        fixed = keras.models.clone_model(model, input_tensors=fixed)
        work_ = operations(fixed) / 1e9
        share = work_ * BATCH / least[chosen] / limit
        note = (
            f"{side} px, images a second: {rates}; chosen: {chosen}; "
            f"{work_:.1f} GFLOP an image, {share:.0%} of the limit "
            f"({limit:.0f} GFLOP/s, matrix multiplication)"
        )
        row = to_row(
            f"engine, {name}", 0.97, found[chosen], found[best], note=note
        )
        # The least counts, as in the trial: other work only adds to it.
        rows.append(row | {"ratio": least[best] / least[chosen]})
    return rows


def operations(model) -> int:
    """Count multiplications and additions for one image."""
    total = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            total += operations(layer)
        elif hasattr(layer, "kernel"):
            places = np.prod(layer.output.shape[1:-1])
            total += 2 * int(np.prod(layer.kernel.shape) * places)
    return total


def measure_to_98(work: Path, size: dict) -> list[dict]:
    """From the zip to a head with 0.98 on validation, each in a process."""
    if not material.is_real():
        return []
    accuracy, archive = {}, material.sound_archive(work, size["to_98_images"])
    sides = {
        name: partial(_to_98, name, archive, size, accuracy)
        for name in SIDES
        if name != "PyTorch" or TORCH.is_file()
    }
    found = alternate(sides, 1)
    n_train, n_validation = size["to_98_images"]
    seconds = {name: side["seconds"][0] for name, side in found.items()}
    rows = [
        to_row(
            f"zip to 0.98, {name}",
            1,
            found[OURS],
            found[name],
            note=f"{seconds[name]:.0f} s to {accuracy[name]:.4f}",
        )
        for name in sides
        if name != OURS
    ]
    what = (
        f"{n_train:,} photographs of {size['to_98_side']} px, zip to a trained "
        f"head and its accuracy on {n_validation:,} others"
    )
    text = f"{seconds[OURS]:.0f} s, {accuracy[OURS]:.4f}"
    return [*rows, {"absolute": what, "text": text, "seconds": seconds}]


def _to_98(name, archive, size, accuracy):
    """Run one way in a process; return its seconds, note its accuracy."""
    python = TORCH if name == "PyTorch" else sys.executable
    target = archive.with_name(f"to-98-{time.time_ns()}")
    numbers = *size["to_98_images"], size["to_98_side"]
    command = [python, "-m", "benchmarks.to_98", name, archive, target]
    command += numbers
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    if name == "PyTorch":
        env["KERAS_BACKEND"] = "torch"
    start = time.perf_counter()
    done = subprocess.run(
        list(map(str, command)),
        cwd=material.ROOT,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    accuracy[name] = float(done.stdout.split()[-1])
    shutil.rmtree(target)
    return seconds, None


def measure_own(work: Path, size: dict) -> list[dict]:
    """A folder of large photographs to the report, without the scratch CNN."""
    folder, n = work / "large", size["large"]
    if not folder.is_dir():
        for path in sorted(material.originals(work, n).rglob("*.jpg")):
            target = folder / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as image:
                large = image.convert("RGB").resize(size["large_pixels"])
                large.save(target, quality=90)
    base = ["BASE=sample"]
    if material.is_real():
        weights = material.SHARED / material.WEIGHTS
        base = ["BASE=MobileNetV2", f"WEIGHTS={weights}"]
    out = work / f"own-{time.time_ns()}"
    dials = f"DATASET={folder}", f"OUT={out}", f"DATA={out}/data", *base
    run = [sys.executable, "tools/run.py", "NOTEBOOKS=1,3-5", *dials]
    start = time.perf_counter()
    subprocess.run(
        run, cwd=material.ROOT, check=True, stdout=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - start
    assert (out / "report.html").is_file()
    pixels = f"{size['large_pixels'][0]} x {size['large_pixels'][1]}"
    return [
        {
            "absolute": f"{n} photographs of {pixels}, folder to report "
            "(notebooks 1, 3, 4 and 5)",
            "text": f"{seconds:.0f} s",
            "seconds": {"all": seconds},
        }
    ]


def _run(engine, x) -> None:
    engine(x)


def _matrix_rate(side: int) -> float:
    """Return the GFLOP a second of the machine's matrix multiplication."""
    a = np.random.default_rng(0).random((side, side), dtype="float32")
    a @ a
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds) / 1e9
