"""What a page shows is what its record says."""

import json

import pytest

from benchmarks import record


@pytest.mark.parametrize("name", ["sample", "photographs"])
def test_the_results_page_shows_its_record(name):
    page = (record.ROOT / "docs" / "results.md").read_text("utf-8")
    kept = json.loads((record.RESULTS / f"{name}.json").read_text("utf-8"))
    assert f"<!-- {name} -->\n{record.to_table(kept)}\n<!-- /{name}" in page
    with pytest.raises(ValueError, match="write <!-- other -->"):
        record.write_into(page, "other", "")
