"""Rows of the benchmark: start-up, and the whole series."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import material
from benchmarks.measure import alternate
from benchmarks.rows_images import save_a_model, to_row


def measure_start_up(work: Path, size: dict) -> list[dict]:
    """Predict one photograph, against the framework's own start-up alone."""
    folder = material.originals(work, size["originals"])
    photograph = next(folder.rglob("*.jpg"))
    path, *_ = save_a_model(work, size)
    predict = ["-m", "catdog_helpers", "predict", "--model", path, photograph]
    sides = {
        "ours": lambda: _python(*predict),
        "theirs": lambda: _python("-c", "import tensorflow, keras"),
        "import": lambda: _python("-c", "import catdog_helpers"),
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
    sys.path.append(str(material.ROOT / "tools"))
    import dials
    import run

    values, seconds = dials.parse_dials(size.get("series_dials", [])), {}
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
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    path = [str(material.ROOT), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    command = [sys.executable, *map(str, arguments)]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
