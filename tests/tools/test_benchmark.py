"""The benchmark: ratios, order, floors, table; and a tiny run of it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import benchmark, material, measure, rows

ROOT = Path(__file__).resolve().parents[2]
SIDE = {"seconds": [1.0], "peak_mb": 300.0}


def a_record(**changed) -> dict:
    row = {"row": "prepare", "floor": 2.5, "ratio": 3.0, "low": 2.8, "high": 4}
    row |= {"ours": SIDE, "theirs": SIDE, "note": "8 images", "rounds": 1}
    absolute = {"absolute": "first `make run`", "text": "120 s"}
    return {
        "rows": [row | changed],
        "absolute": [absolute],
        "failed": {},
        "seconds": 1200.0,
        "size": "full",
        **benchmark.describe_machine(),
    }


def test_both_sides_run_in_turn():
    order = []
    sides = {name: lambda name=name: order.append(name) for name in "ab"}
    found = measure.alternate(sides | {"own": lambda: 7.0}, rounds=3)
    assert order == list("ababab")
    assert [len(side["seconds"]) for side in found.values()] == [3, 3, 3]
    assert found["a"]["seconds"][0] < 2
    assert found["own"]["seconds"][0] == 7  # what a side returns counts


def test_ratio_is_the_median_of_the_rounds():
    found = measure.to_ratio([1, 2, 1], [10, 10, 3])
    assert found == {"ratio": 5, "low": 3, "high": 10}
    with pytest.raises(ValueError, match="shorter"):
        measure.to_ratio([1, 2], [1])


def test_peak_sees_memory_that_is_given_back():
    with measure.Peak() as idle:
        pass
    with measure.Peak() as peak:
        held = np.ones(25_000_000)  # 200 MB
        time.sleep(0.1)
        del held
    assert 150 < peak.megabytes - idle.megabytes < 300


@pytest.mark.skipif(not measure.STATUS.is_file(), reason="needs /proc")
def test_memory_maps_do_not_count(tmp_path):
    np.save(tmp_path / "x.npy", np.ones(25_000_000))
    before = measure.anonymous_megabytes()
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert mapped.sum() == 25_000_000
    assert measure.anonymous_megabytes() - before < 50


def test_growth_is_the_worse_of_2n_and_4n():
    from benchmarks.rows_images import to_growth_row

    found = {
        "1n": {"seconds": [1.0], "peak_mb": [100]},
        "2n": {"seconds": [2.0], "peak_mb": [100]},
        "4n": {"seconds": [8.0], "peak_mb": [100]},
    }
    row = to_growth_row(found, "seconds", "")
    assert (row["ratio"], row["against"]) == (0.5, "4n")
    assert not benchmark.holds(row)
    assert benchmark.holds(to_growth_row(found, "peak_mb", ""))


def test_time_to_an_accuracy():
    from benchmarks.rows_training import time_to

    history = {"val_accuracy": [0.5, 0.85, 0.8], "seconds": [3.0, 6.0, 9.0]}
    assert time_to(history, 0.845) == (6.0, 2)
    assert time_to(history, 0.9) == (float("inf"), 0)


def test_the_ancestor_has_as_many_weights_as_its_notebook_printed():
    from benchmarks.peers import build_ancestor_cnn

    assert build_ancestor_cnn(150).count_params() == 19_024_513


def test_a_missed_floor_is_flagged_and_the_machine_is_named():
    table = benchmark.to_table(a_record())
    assert "missed" not in table
    for part in ("CPU cores", "tensorflow", "keras", "20 min"):
        assert part in table.splitlines()[-1]
    assert "2.5 **missed**" in benchmark.to_table(a_record(ratio=2.4))
    assert "missed" not in benchmark.to_table(a_record(ratio=1, floor=None))
    failed = a_record() | {"failed": {"head": "ValueError: no"}}
    assert "| head | failed |" in benchmark.to_table(failed)


def test_a_missed_floor_gives_status_1(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmark, "WORK", tmp_path)
    for ratio, status in ((3.0, 0), (2.4, 1)):
        record = a_record(ratio=ratio)
        monkeypatch.setattr(benchmark, "measure_all", lambda *_, r=record: r)
        assert benchmark.main(["ROWS=prepare"]) == status
    assert "missed: prepare" in capsys.readouterr().err
    assert (tmp_path / "benchmark.png").stat().st_size > 1000
    assert json.loads((tmp_path / "benchmark.json").read_text()) == record


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ROW=prepare"], "there is no option ROW. Received: ROW=prepare"),
        (["ROWS=prepair"], "ROWS cannot be prepair. Received: ROWS=prepair"),
        (["ROWS="], "ROWS cannot be empty"),
        (["RECORD=1"], "Known: no, yes"),
        (["RECORD=yes", "ROWS=prepare"], "all rows at full size"),
    ],
)
def test_wrong_arguments_get_one_line(arguments, said, capsys):
    assert benchmark.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_every_row_has_its_function():
    for module, function in rows.ROWS.values():
        source = (ROOT / "benchmarks" / f"{module}.py").read_text("utf-8")
        assert f"def {function}(work: Path, size: dict)" in source


def test_the_readme_shows_the_record():
    readme = benchmark.README.read_text("utf-8")
    shown = readme.split("<!-- benchmark -->\n")[1].split("\n<!-- /bench")[0]
    path = ROOT / "benchmarks" / "results" / "benchmark.json"
    record = json.loads(path.read_text("utf-8"))
    assert shown.startswith(benchmark.to_table(record))
    assert record["size"] == "full"
    assert record["took"].keys() | record["failed"].keys() == rows.ROWS.keys()


def test_writing_puts_the_table_into_the_readme(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- benchmark -->\nold\n<!-- /benchmark -->\nb\n")
    record = a_record()
    benchmark.write(record, tmp_path, readme)
    text = readme.read_text("utf-8")
    assert benchmark.to_table(record) in text
    assert "old" not in text
    assert text.startswith("a\n")
    assert text.endswith("-->\nb\n")


@pytest.mark.parametrize("name", ["prepare", "input"])
def test_a_row_on_drawings(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(material, "SHARED", tmp_path / "nothing")
    size = rows.sizes("tiny", real=False) | {"originals": 8}
    found = rows.measure(name, size, tmp_path)
    assert found["rows"]
    for row in found["rows"]:
        assert 0 < row["low"] <= row["ratio"] <= row["high"]
        assert row["ours"]["peak_mb"] > 50
    rounds = [x.split()[2] for x in capsys.readouterr().out.splitlines()]
    sides = list(dict.fromkeys(rounds))
    assert rounds == sides * size["rounds"]
    assert sides[:2] == ["ours", "theirs"]
    assert json.dumps(found, allow_nan=False)


def test_a_row_has_a_process_of_its_own(tmp_path, monkeypatch):
    row = rows.ROWS["growth"]
    monkeypatch.setattr(benchmark, "ROWS", {"nothing": row})
    options = {"ROWS": "nothing", "SIZE": "tiny"}
    record = benchmark.measure_all(options, tmp_path)
    assert "KeyError: 'nothing'" in record["failed"]["nothing"]
    assert record["took"] == {}


def test_make_benchmark_passes_its_names():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.benchmark", "ROWS=x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("benchmark: ROWS cannot be x.")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "-m benchmarks.benchmark $(given)" in makefile
