"""What README and docs say is what was recorded, and what is there."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import backends, front_page, record, scale

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
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
    page = (ROOT / "docs" / "results.md").read_text("utf-8")
    assert record.write_into(page, path.stem, table) == page
    assert table in page
    assert f"benchmarks/results/{path.stem}.png" in page


def test_the_front_page_is_the_record():
    found = json.loads((FOLDER / "photographs.json").read_text("utf-8"))
    assert front_page.to_table(found) in README
    assert front_page.to_sentence(found) in README
    found["results"][0]["test_accuracy"] -= 0.01
    assert front_page.to_table(found) not in README
    assert front_page.to_sentence(found) not in README


def test_the_front_page_is_short():
    assert len(README.splitlines()) <= 160


def test_a_changed_figure_would_be_noticed():
    path = RECORDS[0]
    page = (ROOT / "docs" / "results.md").read_text("utf-8")
    changed = json.loads(path.read_text("utf-8"))
    changed["results"][0]["test_accuracy"] -= 0.01
    table = record.to_table(changed)
    assert record.write_into(page, path.stem, table) != page


def test_the_cost_of_many_photographs_is_the_record():
    found = json.loads((FOLDER / "scale.json").read_text("utf-8"))
    table = scale.to_table(found)
    page = (ROOT / "docs" / "many_machines.md").read_text("utf-8")
    assert table in page
    assert record.write_into(page, "scale", table) == page
    found["steps"]["extract"]["all cores"] *= 1.1
    assert scale.to_table(found) != table


def test_the_table_of_backends_is_the_record():
    found = json.loads((FOLDER / "backends.json").read_text("utf-8"))
    assert set(found["sets"]) == set(backends.SETS)
    table = backends.to_table(found)
    page = (ROOT / "docs" / "backends.md").read_text("utf-8")
    assert table in page
    assert record.write_into(page, "backends", table) == page
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text("utf-8")):
        assert (page.parent / link).exists(), link


def test_every_room_and_page_is_on_the_front_page():
    for room in (ROOT / "catdog_helpers").glob("[a-z]*/"):
        if (room / "__init__.py").is_file():
            assert f"`catdog_helpers/{room.name}/`" in README, room.name
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in README, page.name


def test_paths_in_the_layout_are_there():
    text = (ROOT / "docs" / "layout.md").read_text("utf-8")
    package = ROOT / "catdog_helpers"
    for name in re.findall(r"`([\w/]+\.py)", text):
        places = (ROOT / name, package / name)
        inside = package.glob(f"*/{name}")
        assert any(path.exists() for path in (*places, *inside)), name
