"""Run the whole comparison and report it: `make report`.

    make report DATASET=... BASE=... [RECORD=photographs]

Notebooks 01 to 08 and 11, with the dials of `make run`; then the scoreboard,
the curves and the plots as `report.md` and `report.png` in the run's folder.
With RECORD they go into `benchmarks/results/` and the README, too.
"""

import sys
from pathlib import Path

from benchmarks import record
from run import main as run_notebooks
from run import parse_dials


def main(arguments: list[str]) -> int:
    """Run, measure and report.

    Args:
        arguments: `NAME=VALUE` for each dial, and RECORD=name.

    Returns:
        The exit status of the notebooks.
    """
    names = [a[7:] for a in arguments if a.startswith("RECORD=")]
    dials = [a for a in arguments if not a.startswith("RECORD=")]
    if not any(a.startswith("NOTEBOOKS=") for a in dials):
        dials.append("NOTEBOOKS=1-8,11")
    if status := run_notebooks(dials):
        return status
    out = Path(parse_dials(dials)["OUT"])
    measured = record.record_run(out)
    (out / "report.md").write_text(record.to_table(measured), "utf-8")
    record.to_figure(measured).savefig(out / "report.png", dpi=100)
    for name in names:
        record.save_run(measured, name)
    print(f"\nReport   {out / 'report.md'} and report.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
