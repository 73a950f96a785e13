"""Measure speed and memory against what others do: `make benchmark`.

    python -m benchmarks.benchmark [ROWS=prepare,head] [RECORD=yes] [SIZE=tiny]

Each row is a ratio of two things measured in turn in one run. `RECORD=yes`
writes `benchmarks/results/benchmark.json` and `.png`, and the table into
`benchmarks/README.md`; without it all goes to `runs/benchmark/`.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

import catdog_helpers as ch
from benchmarks.material import ROOT, is_real
from benchmarks.record import RESULTS, write_into
from benchmarks.rows import ROWS, SIZES

WORK = ROOT / "runs" / "benchmark"
README = ROOT / "benchmarks" / "README.md"
PACKAGES = ("tensorflow", "keras", "numpy", "pillow")
OPTIONS = {"ROWS": ",".join(ROWS), "RECORD": "no", "SIZE": "full"}


def parse(arguments: list[str]) -> dict[str, str]:
    """Check `NAME=VALUE` arguments and add the defaults."""
    options = dict(OPTIONS)
    for argument in arguments:
        name, _, value = argument.partition("=")
        known = {"ROWS": set(ROWS), "RECORD": {"yes", "no"}, "SIZE": set(SIZES)}
        if name not in known:
            raise ValueError(
                f"there is no option {name}. Received: {argument}. Known: "
                f"{', '.join(known)}"
            )
        if unknown := set(value.split(",")) - known[name]:
            raise ValueError(
                f"{name} cannot be {', '.join(sorted(unknown)) or 'empty'}. "
                f"Received: {argument}. Known: {', '.join(sorted(known[name]))}"
            )
        options[name] = value
    changed = options["ROWS"] != OPTIONS["ROWS"] or options["SIZE"] != "full"
    if options["RECORD"] == "yes" and changed:
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
        raise RuntimeError(f"{name}: {lines[-1]} (see {log})")
    return json.loads(result.read_text("utf-8"))


def measure_all(options: dict[str, str], work: Path) -> dict:
    """Measure the rows that the options name, one after the other."""
    work.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    record = {"rows": [], "absolute": [], "failed": {}, "took": {}}
    record |= {"size": options["SIZE"], **describe_machine()}
    for name in ROWS:
        if name not in options["ROWS"].split(","):
            continue
        seconds = time.perf_counter() - start
        print(f"{name} starts after {seconds:.0f} s", flush=True)
        try:
            found = run_row(name, options["SIZE"], work)
        except RuntimeError as error:
            print(error, flush=True)
            record["failed"][name] = str(error).replace(f"{work}{os.sep}", "")
            continue
        for row in found["rows"]:
            record["rows"].append({**row, "process_mb": found["peak_mb"]})
        record["absolute"] += found["absolute"]
        record["took"][name] = found["seconds"]
    record["seconds"] = time.perf_counter() - start
    return record


def describe_machine() -> dict:
    """Return what a figure depends on besides the code."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.is_file() else []
    model = [x.split(": ")[1] for x in lines if x.startswith("model name")]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} CPU cores ({(model or ['unknown'])[0]}), "
        f"{platform.machine()}, Python {platform.python_version()}",
        "load": load,
        "versions": {p: importlib.metadata.version(p) for p in PACKAGES},
        "precision": ", ".join(ch.machine.choices()),
        "material": "real photographs" if is_real() else "drawings",
    }


def holds(row: dict) -> bool:
    """Return whether a row reaches its floor; some have none."""
    return row["floor"] is None or row["ratio"] >= row["floor"]


def to_table(record: dict) -> str:
    """Format a record as Markdown."""
    lines = [
        "| row | ratio | spread | at least | memory, ours / theirs (MB) | of |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in record["rows"]:
        low, high = (_figure(row[key]) for key in ("low", "high"))
        flag = "" if holds(row) else " **missed**"
        lines.append(
            f"| {row['row']} | {_figure(row['ratio'])} | {low} to {high} | "
            f"{_figure(row['floor'])}{flag} | {_memory(row)} | {row['note']} |"
        )
    lines += [f"| {name} | failed | | | | |" for name in record["failed"]]
    lines.append("")
    for row in record["absolute"]:
        lines.append(f"- {row['absolute']}: {row['text']}.")
    versions = ", ".join(f"{p} {v}" for p, v in record["versions"].items())
    lines += [
        "",
        f"Measured on {record['material']} in {record['seconds'] / 60:.0f} "
        f"minutes, {record['date']}; {record['machine']}, load "
        f"{record['load']:.1f} at the start; {versions}; to choose from: "
        f"{record['precision']}.",
    ]
    return "\n".join(lines)


def to_figure(record: dict):
    """Draw each ratio as a bar, and the floor that it has to reach."""
    rows = record["rows"][::-1]
    height = 1.2 + 0.4 * len(rows)
    fig, ax = plt.subplots(figsize=(8, height), layout="constrained")
    ratios, lows, highs = (
        np.array([row[key] for row in rows]) for key in ("ratio", "low", "high")
    )
    colours = ["tab:blue" if holds(row) else "tab:red" for row in rows]
    places = np.arange(len(rows))
    # A bar from 1: to the right we are faster, to the left slower.
    ax.barh(places, ratios - 1, left=1, color=colours, height=0.6)
    whiskers = np.abs([ratios - lows, highs - ratios])
    ax.errorbar(ratios, places, xerr=whiskers, fmt="none", ecolor="black")
    floors = [row["floor"] or np.nan for row in rows]
    ax.plot(floors, places, "|", ms=16, mew=2.5, c="tab:orange", label="floor")
    ax.set_xscale("log")
    ax.set_yticks(places, [row["row"] for row in rows])
    ax.axvline(1, color="grey", lw=0.8)
    ax.set(xlabel="times as fast as the other way (log scale)")
    ax.legend(loc="lower right", fontsize=8)
    return fig


def write(record: dict, folder: Path, readme: Path | None = None) -> None:
    """Write a record as JSON and as a plot, and its table into a README."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "benchmark.json").write_text(f"{text}\n", "utf-8")
    if record["rows"]:
        to_figure(record).savefig(folder / "benchmark.png", dpi=80)
    if readme:
        text = readme.read_text("utf-8")
        table = f"{to_table(record)}\n\n![The ratios](results/benchmark.png)"
        readme.write_text(write_into(text, "benchmark", table), "utf-8")


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _memory(row: dict) -> str:
    if "sizes" in row:
        peaks = [np.median(x["peak_mb"]) for x in row["sizes"].values()]
        return ", ".join(f"{peak:.0f}" for peak in peaks) + " at n, 2n, 4n"
    peaks = [row.get(side, {}).get("peak_mb") for side in ("ours", "theirs")]
    return " / ".join(f"{peak:.0f}" if peak else "–" for peak in peaks)


def main(arguments: list[str]) -> int:
    """Measure, print the table and write it down."""
    try:
        options = parse(arguments)
    except ValueError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    record = measure_all(options, WORK)
    if options["RECORD"] == "yes":
        write(record, RESULTS, README)
    else:
        write(record, WORK)
    print(f"\n{to_table(record)}")
    missed = [row["row"] for row in record["rows"] if not holds(row)]
    for what, names in {"missed": missed, "failed": record["failed"]}.items():
        if names:
            print(f"benchmark: {what}: {', '.join(names)}", file=sys.stderr)
    return int(bool(missed or record["failed"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
