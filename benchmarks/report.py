"""Run the whole comparison and report it: `make report`.

    make report DATASET=... BASE=... [RECORD=photographs]

Notebooks 01 to 08 and 11, with the dials of `make run`; then the scoreboard,
the curves and the plots as `report.md` and `report.png` in the run's folder.
With RECORD they go into `benchmarks/results/` and docs/results.md, too.
"""

import sys
from pathlib import Path

from benchmarks.record import record_run, save_record, to_figure, to_table
from run import main as run_notebooks
from run import parse_dials


def main(arguments: list[str]) -> int:
    """Run, measure and report; return the exit status of the notebooks."""
    names = [a[7:] for a in arguments if a.startswith("RECORD=")]
    dials = [a for a in arguments if not a.startswith("RECORD=")]
    if not any(a.startswith("NOTEBOOKS=") for a in dials):
        dials.append("NOTEBOOKS=1-8,11")
    if status := run_notebooks(dials):
        return status
    out = Path(parse_dials(dials)["OUT"])
    record = record_run(out)
    table, figure = to_table(record), to_figure(record)
    (out / "report.md").write_text(table, "utf-8")
    figure.savefig(out / "report.png", dpi=100)
    for name in names:
        save_record(record, name, table, figure)
    print(f"\nReport   {out / 'report.md'} and report.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
