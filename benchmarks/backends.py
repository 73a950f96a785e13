"""Time `make run` on the drawn sample with each backend, for the README.

    python -m benchmarks.backends

makes what environments are missing (as `make run BACKEND=...` does), runs
notebooks 01 to 05 in each, and writes `benchmarks/results/backends.json` and
the README's table. It takes a quarter of an hour, more where it installs.
"""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.record import ROOT, save_record, today_and_here

# Column of the table: environment, what `make` is told, and the backend
SETS = {
    "TensorFlow": (".venv", [], "tensorflow"),
    "JAX": (".venv-jax", ["BACKEND=jax"], "jax"),
    "PyTorch": (".venv-torch", ["BACKEND=torch"], "torch"),
    "TensorFlow, as on Colab": (
        ".venv-colab",
        ["CONSTRAINTS=constraints-colab.txt"],
        "tensorflow",
    ),
}
RUN = (
    "import dials, run, sys; dial = dials.parse_dials([]); "
    "run.run(dial | {'DATA': sys.argv[1], 'OUT': sys.argv[2]})"
)
# What the tests show, in the order of the columns
FEATURES = {
    "notebooks 1 to 5, tested": ("yes", "yes", "yes", "yes"),
    "a model saved elsewhere: same probabilities": (
        "yes",
        "yes",
        "yes",
        "if saved by a Keras up to its own",
    ),
    "killed training: same end, to the last digit": ("yes",) * 4,
    "heat maps, ideal cats (notebook 9)": ("yes",) * 4,
    "several GPUs (`DEVICES`)": (
        "`MirroredStrategy`",
        "`DataParallel`",
        "no",
        "`MirroredStrategy`",
    ),
    "exports (notebook 5)": (
        "all formats",
        "ask for more packages",
        "ask for more packages",
        "all formats",
    ),
    "fast number format on a CPU": ("bfloat16", "no", "no", "bfloat16"),
}


def measure(name: str) -> dict:
    """Run notebooks 01 to 05 in one environment, as a fresh `make run` does."""
    from catdog_helpers.results import METHODS  # imports Keras

    folder, told, package = SETS[name]
    make = ["make", "--no-print-directory", f"{folder}/.installed", *told]
    subprocess.run(make, cwd=ROOT, check=True)
    environment = {**os.environ, "KERAS_BACKEND": package}
    environment["PYTHONPATH"] = str(ROOT / "tools")
    with tempfile.TemporaryDirectory() as work:
        out = Path(work, "out")
        command = [ROOT / folder / "bin/python", "-c", RUN, f"{work}/data", out]
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        seconds = time.perf_counter() - start
        results = {
            path.stem: json.loads(path.read_text("utf-8"))
            for path in (out / "results").glob("*.json")
        }
    return {
        "seconds": seconds,
        "package": package,
        "accuracy": {m: results[m]["test_accuracy"] for m in METHODS},
        "n_test": results["bottleneck"]["n_test"],
        "versions": results["bottleneck"]["versions"],
    }


def to_table(record: dict) -> str:
    """Format a record as the README shows it."""
    from catdog_helpers.results import METHODS  # imports Keras

    found = [record["sets"][name] for name in SETS]
    rows = {"": list(SETS)}
    rows["versions"] = [_versions(one) for one in found]
    rows["`make run`, seconds"] = [f"{one['seconds']:.0f}" for one in found]
    for method, (label, _) in METHODS.items():
        accuracy = [one["accuracy"][method] for one in found]
        rows[f"{label}, test accuracy"] = [f"{x:.3f}" for x in accuracy]
    rows |= {name: list(cells) for name, cells in FEATURES.items()}
    lines = [
        f"| {' | '.join([name, *cells])} |" for name, cells in rows.items()
    ]
    lines.insert(1, "| --- | --- | --- | --- | --- |")
    return "\n".join(
        [
            *lines,
            "",
            f"{found[0]['n_test']} test drawings; installed before. "
            f"{record['date']}; {record['machine']}.",
        ]
    )


def _versions(one: dict) -> str:
    return (
        f"{one['versions'][one['package']]}, Keras {one['versions']['keras']}"
    )


def main() -> None:
    """Measure them all, and write the record and the table."""
    sets = {name: measure(name) for name in SETS}
    record = {**today_and_here(), "sets": sets}
    print(save_record(record, "backends", to_table(record)))


if __name__ == "__main__":
    main()
