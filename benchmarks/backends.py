"""Time `make run` on the drawn sample with each backend, for the docs.

    python -m benchmarks.backends

makes what environments are missing (as `make run BACKEND=...` does), runs
notebooks 01 to 05 in each, and writes `benchmarks/results/backends.json` and
the table of docs/backends.md. It takes a quarter of an hour, more where it
installs.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.record import ROOT, markdown, save_record, today_and_here
from catdog_helpers.results import METHODS

# Column of the table: the backend, and what `make` is told
SETS = {
    "TensorFlow": ("tensorflow", []),
    "JAX": ("jax", ["BACKEND=jax"]),
    "PyTorch": ("torch", ["BACKEND=torch"]),
    "TensorFlow, as on Colab": (
        "tensorflow",
        ["CONSTRAINTS=constraints-colab.txt"],
    ),
}


def measure(package: str, told: list[str]) -> dict:
    """Run notebooks 01 to 05 in one environment, as a fresh `make run` does."""
    make = ["make", "--no-print-directory", *told]
    subprocess.run([*make, "install"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as work:
        folders = [f"DATA={work}/data", f"OUT={work}/out"]
        start = time.perf_counter()
        subprocess.run([*make, "run", *folders], cwd=ROOT, check=True)
        seconds = time.perf_counter() - start
        results = {
            path.stem: json.loads(path.read_text("utf-8"))
            for path in Path(work, "out", "results").glob("*.json")
        }
    return {
        "seconds": seconds,
        "package": package,
        "accuracy": {m: results[m]["test_accuracy"] for m in METHODS},
        "n_test": results["bottleneck"]["n_test"],
        "versions": results["bottleneck"]["versions"],
    }


def to_table(record: dict) -> str:
    """Format a record as docs/backends.md shows it."""
    found = [record["sets"][name] for name in SETS]
    versions = (
        f"{one['versions'][one['package']]}, Keras {one['versions']['keras']}"
        for one in found
    )
    seconds = (f"{one['seconds']:.0f}" for one in found)
    rows = [["versions", *versions], ["`make run`, seconds", *seconds]]
    for method, (label, _) in METHODS.items():
        accuracy = (f"{one['accuracy'][method]:.3f}" for one in found)
        rows.append([f"{label}, test accuracy", *accuracy])
    return (
        f"{markdown(' | '.join(['', *SETS]), rows)}\n\n"
        f"{found[0]['n_test']} test drawings; installed before. "
        f"{record['date']}; {record['machine']}."
    )


if __name__ == "__main__":
    sets = {name: measure(*how) for name, how in SETS.items()}
    record = {**today_and_here(), "sets": sets}
    save_record(record, "backends", to_table(record))
    print(to_table(record))
