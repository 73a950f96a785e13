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
# How a record becomes a table; that of the benchmark has a test of its own.
TABLES = {
    "photographs": record.to_table,
    "sample": record.to_table,
    "scale": scale.to_table,
    "backends": backends.to_table,
}


def read_record(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def test_every_record_has_its_table():
    names = {path.stem for path in FOLDER.glob("*.json")}
    assert names == TABLES.keys() | {"benchmark"}


@pytest.mark.parametrize("name", TABLES)
def test_the_page_shows_the_record(name):
    """And would not, if a figure were another one."""
    page = ROOT / "docs" / record.PAGES.get(name, "results.md")
    page, found = page.read_text("utf-8"), read_record(name)
    table = TABLES[name](found)
    assert record.write_into(page, name, table) == page
    if "results" in found:
        assert f"benchmarks/results/{name}.png" in page
        found["results"][0]["test_accuracy"] -= 0.01
    elif "steps" in found:
        found["steps"]["extract"]["all cores"] *= 1.1
    else:
        assert set(found["sets"]) == set(backends.SETS)
        found["sets"]["JAX"]["accuracy"]["bottleneck"] -= 0.01
    assert record.write_into(page, name, TABLES[name](found)) != page


def test_the_front_page_is_the_record_and_short():
    found = read_record("photographs")
    assert front_page.to_table(found) in README
    assert front_page.to_sentence(found) in README
    found["results"][0]["test_accuracy"] -= 0.01
    assert front_page.to_table(found) not in README
    assert front_page.to_sentence(found) not in README
    assert len(README.splitlines()) <= 160


def test_hours_are_photographs_by_their_rate():
    """Two seconds of 12 are the start; 1,000 in ten are 100 a second."""
    step = {"photographs": 1001, "plain": 12.0, "plain, start": 2.0}
    for engine in ("one worker", "all cores"):
        step |= {engine: 22.0, f"{engine}, start": 2.0}
    found = read_record("scale")
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
