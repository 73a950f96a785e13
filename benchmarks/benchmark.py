"""Measure speed and memory against what others do: `make benchmark`.

    python -m benchmarks.benchmark [ROWS=prepare,head] [RECORD=yes] [SIZE=tiny]

Each row is a ratio of two things measured in turn in one run. `RECORD=yes`
writes `benchmarks/results/benchmark.json`, and the table into
`benchmarks/README.md`; without it the record goes to `runs/benchmark/`.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import catdog_helpers as ch
from benchmarks.material import is_real
from benchmarks.record import (
    RESULTS,
    ROOT,
    markdown,
    save_record,
    today_and_here,
)
from benchmarks.rows import ROWS

WORK = ROOT / "runs" / "benchmark"
PACKAGES = ("tensorflow", "keras", "numpy", "pillow")
# What each option may be; its first value is the default
OPTIONS = {
    "ROWS": list(ROWS),
    "RECORD": ["no", "yes"],
    "SIZE": ["full", "tiny"],
}


def parse(arguments: list[str]) -> dict[str, list[str]]:
    """Check `NAME=VALUE` arguments and add the defaults."""
    options = {"ROWS": list(ROWS), "RECORD": ["no"], "SIZE": ["full"]}
    for argument in arguments:
        name, _, text = argument.partition("=")
        values = text.split(",")
        if not set(values) <= set(OPTIONS.get(name, [])):
            known = (f"{k}={','.join(v)}" for k, v in OPTIONS.items())
            raise ValueError(
                f"there is no such option. Received: {argument}. Known: "
                f"{' '.join(known)}"
            )
        options[name] = values
    changed = set(options["ROWS"]) != set(ROWS) or options["SIZE"] != ["full"]
    if options["RECORD"] == ["yes"] and changed:
        raise ValueError(
            "a record holds all rows at full size, measured in one run. "
            "Received: RECORD=yes with ROWS or SIZE: leave those out"
        )
    return options


def run_row(name: str, size: str, work: Path) -> dict:
    """Measure one of `ROWS` in a process of its own."""
    result, log = work / f"{name}.json", work / f"{name}.log"
    command = [sys.executable, "-m", "benchmarks.rows", name, size]
    env = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, "PYTHONUNBUFFERED": "1"}
    env["PYTHONPATH"] = f"{ROOT}{os.pathsep}{env.get('PYTHONPATH', '')}"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [*command, str(work), str(result)], env=env, cwd=ROOT, stderr=file
        )
    if done.returncode:
        lines = log.read_text("utf-8", "replace").strip().splitlines() or [""]
        raise RuntimeError(f"{name}: {lines[-1]} (see {log.name})")
    return json.loads(result.read_text("utf-8"))


def measure_all(names: list[str], size: str, work: Path) -> dict:
    """Measure these rows, one after the other."""
    work.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    record = {"rows": [], "absolute": [], "failed": {}, "took": {}}
    record |= {"size": size, **describe_machine()}
    for name in names:
        seconds = time.perf_counter() - start
        print(f"{name} starts after {seconds:.0f} s", flush=True)
        try:
            found = run_row(name, size, work)
        except RuntimeError as error:
            print(error, flush=True)
            record["failed"][name] = str(error)
            continue
        for row in found["rows"]:
            kind = "rows" if "row" in row else "absolute"
            record[kind].append({**row, "process_mb": found["peak_mb"]})
        record["took"][name] = found["seconds"]
    record["seconds"] = time.perf_counter() - start
    return record


def describe_machine() -> dict:
    """Return what a figure depends on besides the code."""
    return {
        **today_and_here(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        "versions": {p: importlib.metadata.version(p) for p in PACKAGES},
        "precision": ", ".join(ch.machine.choices()),
        "material": "real photographs" if is_real() else "drawings",
    }


def holds(row: dict) -> bool:
    """Return whether a row reaches its floor; some have none."""
    return row["floor"] is None or row["ratio"] >= row["floor"]


def to_table(record: dict) -> str:
    """Format a record as benchmarks/README.md shows it."""
    rows = []
    for row in record["rows"]:
        figures = [row[key] for key in ("ratio", "low", "high", "floor")]
        ratio, low, high, floor = map(_figure, figures)
        floor += "" if holds(row) else " **missed**"
        spread = f"{low} to {high}"
        rows.append(
            [row["row"], ratio, spread, floor, _memory(row), row["note"]]
        )
    rows += [[name, "failed", "", "", "", ""] for name in record["failed"]]
    columns = (
        "row | ratio | spread | at least | memory, ours / theirs (MB) | of"
    )
    absolute = (f"- {x['absolute']}: {x['text']}." for x in record["absolute"])
    versions = ", ".join(f"{p} {v}" for p, v in record["versions"].items())
    return "\n".join(
        [
            markdown(columns, rows),
            "",
            *absolute,
            "",
            f"Measured on {record['material']} in {record['seconds'] / 60:.0f} "
            f"minutes, {record['date']}; {record['machine']}, load "
            f"{record['load']:.1f} at the start; {versions}; to choose from: "
            f"{record['precision']}.",
        ]
    )


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _memory(row: dict) -> str:
    if "sizes" in row:
        peaks = [np.median(x["peak_mb"]) for x in row["sizes"].values()]
        return ", ".join(f"{peak:.0f}" for peak in peaks) + " at n, 2n, 4n"
    peaks = [np.max(row[side]["peak_mb"] or 0) for side in ("ours", "theirs")]
    return " / ".join(f"{peak:.0f}" if peak else "–" for peak in peaks)


def main(arguments: list[str]) -> int:
    """Measure, print the table and write it down."""
    try:
        options = parse(arguments)
    except ValueError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    record = measure_all(options["ROWS"], options["SIZE"][0], WORK)
    table = to_table(record)
    folder = RESULTS if options["RECORD"] == ["yes"] else WORK
    save_record(record, "benchmark", table, folder=folder)
    print(f"\n{table}")
    missed = [row["row"] for row in record["rows"] if not holds(row)]
    for what, names in {"missed": missed, "failed": record["failed"]}.items():
        if names:
            print(f"benchmark: {what}: {', '.join(names)}", file=sys.stderr)
    return int(bool(missed or record["failed"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
