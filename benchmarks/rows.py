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

# Name -> module that has `measure_<name>`, which may give several rows
ROWS = {
    "prepare": "rows_images",
    "input": "rows_images",
    "extraction": "rows_training",
    "head": "rows_training",
    "fine_tuning": "rows_training",
    "scratch": "rows_training",
    "predict": "rows_images",
    "growth": "rows_images",
    "start_up": "rows_images",
    "series": "rows_images",
    "engines": "rows_engines",
    "to_98": "rows_engines",
    "own": "rows_engines",
}

# "full" took 24 minutes on two cores; "tiny" shows that all of it runs.
SIZES = {  # full, tiny
    "rounds": (15, 2),
    "few_rounds": (3, 2),
    "originals": (600, 64),
    "side": (150, 32),
    "vgg16_images": (64, 32),
    "fine_tuning_images": (128, 32),
    "head_images": (3000, 60),
    "loop_images": (128, 32),
    "scratch_side": (150, 64),
    "scratch_images": ((6000, 2000), (60, 40)),
    # Enough to get there, and the quickest of those tried
    "scratch_dials": (
        {"EPOCHS": 14, "BATCH_SIZE": 64, "LEARNING_RATE": 4e-3},
        {"EPOCHS": 1},
    ),
    "ancestor_steps": (100, 2),
    "predict_side": (192, 64),
    "predict_images": (300, 64),
    "growth": (256, 32),
    "block": ("VGG16", "sample"),
    "target": (0.845, 0.4),
    "matrix": (2048, 256),
    "bases": (
        [
            ("MobileNetV2", 192),
            ("EfficientNet-Lite2", 260),
            ("ConvNeXtTiny", 192),
            ("VGG16", 150),
            ("EfficientNetV2B0", 192),
        ],
        [("sample", 32)],
    ),
    "to_98_images": ((6000, 2000), (60, 40)),
    "to_98_side": (192, 64),
    "large": (300, 30),
    "large_pixels": ((4000, 3000), (640, 480)),
}
# What differs where there are drawings only: there are 1,000 of them.
DRAWN = {
    "head_images": 300,
    "loop_images": 96,
    "scratch_images": (300, 100),
    "growth": 160,
    "target": 0.75,
}


def sizes(name: str, real: bool) -> dict:
    """Return the numbers of images and rounds."""
    full = name == "full"
    size = {k: full_ if full else tiny for k, (full_, tiny) in SIZES.items()}
    return size | (DRAWN if full and not real else {})


def measure(name: str, size: dict, work: Path) -> dict:
    """Measure in this process."""
    start = time.perf_counter()
    module = import_module(f"benchmarks.{ROWS[name]}")
    rows = getattr(module, f"measure_{name}")(work, size)
    seconds = time.perf_counter() - start
    return {"rows": rows, "seconds": seconds, "peak_mb": peak_megabytes()}


def main(arguments: list[str]) -> None:
    """Measure what the command line names and write it as JSON."""
    from benchmarks.material import is_real
    from catdog_helpers import use_backend

    name, size, work, result = arguments
    if name == "scratch":  # as notebook 02 does, so the other side has it, too
        use_backend()
    found = measure(name, sizes(size, is_real()), Path(work))
    Path(result).write_text(json.dumps(found, allow_nan=False), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
