"""What the README says is what was recorded, and what is there."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import record

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
FOLDER = ROOT / "benchmarks" / "results"
# That of the benchmark has a table of its own: see test_benchmark.py
RECORDS = sorted({*FOLDER.glob("*.json")} - {FOLDER / "benchmark.json"})


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


def test_records_name_no_path_of_a_machine():
    for path in RECORDS:
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
