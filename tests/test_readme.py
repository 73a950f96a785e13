"""What the README says is what was recorded, and what is there."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import backends, record, scale

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
FOLDER = ROOT / "benchmarks" / "results"
# Three have tables of their own: see test_benchmark.py, and below
OWN = ("benchmark.json", "scale.json", "backends.json")
OTHERS = {FOLDER / name for name in OWN}
RECORDS = sorted({*FOLDER.glob("*.json")} - OTHERS)


def test_there_are_records():
    assert RECORDS


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_table_is_the_record(path):
    table = record.to_table(json.loads(path.read_text("utf-8")))
    assert record.write_into(README, path.stem, table) == README
    assert table in README
    assert f"benchmarks/results/{path.stem}.png" in README


def test_a_changed_figure_would_be_noticed():
    path = RECORDS[0]
    changed = json.loads(path.read_text("utf-8"))
    changed["results"][0]["test_accuracy"] -= 0.01
    table = record.to_table(changed)
    assert record.write_into(README, path.stem, table) != README


def test_the_cost_of_many_photographs_is_the_record():
    found = json.loads((FOLDER / "scale.json").read_text("utf-8"))
    table = scale.to_table(found)
    assert table in README
    assert record.write_into(README, "scale", table) == README
    found["steps"]["extract"]["all cores"] *= 1.1
    assert scale.to_table(found) != table


def test_the_table_of_backends_is_the_record():
    found = json.loads((FOLDER / "backends.json").read_text("utf-8"))
    assert set(found["sets"]) == set(backends.SETS)
    table = backends.to_table(found)
    assert table in README
    assert record.write_into(README, "backends", table) == README
    for change in ("seconds", "accuracy"):
        other = json.loads(json.dumps(found))
        if change == "seconds":
            other["sets"]["JAX"]["seconds"] *= 1.1
        else:
            other["sets"]["JAX"]["accuracy"]["bottleneck"] -= 0.01
        assert backends.to_table(other) != table


def test_hours_are_photographs_by_their_rate():
    """Two seconds of 12 are the start; 1,000 in ten are 100 a second."""
    step = {"photographs": 1001, "plain": 12.0, "plain, start": 2.0}
    for engine in ("one worker", "all cores"):
        step |= {engine: 22.0, f"{engine}, start": 2.0}
    found = json.loads((FOLDER / "scale.json").read_text("utf-8"))
    found["steps"] = dict.fromkeys(scale.STEPS, step)
    assert "| prepare | 100 | 50 | 50 | 5.6 | 5,556 |" in scale.to_table(found)


def test_records_name_no_path_of_a_machine():
    for path in FOLDER.glob("*.json"):
        assert not re.search(r'"/|[A-Z]:\\\\', path.read_text("utf-8"))


def test_links_and_the_file_tree_lead_somewhere():
    for link in re.findall(r"\]\(([^)#:\s]+)\)", README):
        assert (ROOT / link).exists(), link
    tree = re.search(r"```text\n(.*?)```", README, re.DOTALL)[1]
    folder = ""
    for line in tree.splitlines():
        name = line.split()[0]
        folder = "" if not line.startswith(" ") else folder
        assert (ROOT / folder / name).exists(), line
        folder = name if name.endswith("/") and not folder else folder


def test_every_module_is_in_the_file_tree():
    for path in sorted((ROOT / "catdog_helpers").glob("[a-z]*.py")):
        assert re.search(rf"(?m)^ +{path.name} ", README), path.name
