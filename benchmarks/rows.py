"""All rows of the benchmark, and the process that measures one of them.

    python -m benchmarks.rows NAME SIZE WORK RESULT

`benchmark.py` starts it, once for each name, so that memory and start-up are
each row's own.
"""

import json
import sys
import time
from importlib import import_module
from pathlib import Path

from benchmarks.measure import peak_megabytes

# Name -> module and function. One name may give several rows of the table.
ROWS = {
    "prepare": ("rows_images", "measure_prepare"),
    "input": ("rows_images", "measure_input"),
    "extraction": ("rows_training", "measure_extraction"),
    "head": ("rows_training", "measure_head"),
    "fine_tuning": ("rows_training", "measure_fine_tuning"),
    "scratch": ("rows_training", "measure_scratch"),
    "predict": ("rows_images", "measure_predict"),
    "growth": ("rows_images", "measure_growth"),
    "start_up": ("rows_whole", "measure_start_up"),
    "series": ("rows_whole", "measure_series"),
}

# "full" took 24 minutes on two cores; "tiny" shows that all of it runs.
SIZES = {
    "full": {
        "rounds": 15,
        "few_rounds": 3,
        "originals": 600,
        "side": 150,
        "vgg16_images": 64,
        "fine_tuning_images": 128,
        "head_images": 3000,
        "loop_images": 128,
        "scratch_side": 150,
        "scratch_images": (6000, 2000),
        # Enough to get there, and the quickest of those tried
        "scratch_dials": {
            "EPOCHS": 14,
            "BATCH_SIZE": 64,
            "LEARNING_RATE": 4e-3,
        },
        "ancestor_steps": 100,
        "predict_side": 192,
        "predict_images": 300,
        "growth": 256,
    },
    "tiny": {
        "rounds": 2,
        "few_rounds": 2,
        "originals": 64,
        "side": 32,
        "vgg16_images": 32,
        "fine_tuning_images": 32,
        "head_images": 60,
        "loop_images": 32,
        "scratch_side": 64,
        "scratch_images": (60, 40),
        "ancestor_steps": 2,
        "predict_side": 64,
        "predict_images": 64,
        "growth": 32,
        "base": "sample",
        "target": 0.4,
        "scratch_dials": {"EPOCHS": 1},
    },
}
# What differs where there are drawings only: there are 1,000 of them.
DRAWN = {
    "head_images": 300,
    "loop_images": 96,
    "scratch_images": (300, 100),
    "growth": 160,
}


def sizes(name: str, real: bool) -> dict:
    """Return the numbers of images and rounds."""
    return SIZES[name] | (DRAWN if name == "full" and not real else {})


def measure(name: str, size: dict, work: Path) -> dict:
    """Measure in this process."""
    module, function = ROWS[name]
    start = time.perf_counter()
    module = import_module(f"benchmarks.{module}")
    found = getattr(module, function)(work, size)
    return {
        "rows": [row for row in found if "row" in row],
        "absolute": [row for row in found if "absolute" in row],
        "seconds": time.perf_counter() - start,
        "peak_mb": peak_megabytes(),
    }


def main(arguments: list[str]) -> None:
    """Measure what the command line names and write it as JSON."""
    from benchmarks import material
    from catdog_helpers import use_backend

    name, size, work, result = arguments
    if name == "scratch":  # as notebook 02 does, so the other side has it, too
        use_backend()
    found = measure(name, sizes(size, material.is_real()), Path(work))
    Path(result).write_text(json.dumps(found, allow_nan=False), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
