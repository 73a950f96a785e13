"""The benchmark: ratios, order, floors, table; and a tiny run of it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

# The other side of some rows is TensorFlow's, which JAX and PyTorch's
# environments lack.
pytest.importorskip("tensorflow")

from benchmarks import benchmark, material, measure, peers, record, rows
from benchmarks.rows_engines import operations
from benchmarks.rows_images import to_growth_row
from benchmarks.rows_training import time_to

ROOT = Path(__file__).resolve().parents[2]
ROW = {"row": "prepare", "floor": 2.5, "ratio": 3.0, "low": 2.8, "high": 4}
SIDE = {"seconds": [1.0], "peak_mb": [300.0]}


def a_record(**changed) -> dict:
    row = ROW | {"ours": SIDE, "theirs": SIDE, "note": "8 images"} | changed
    return {
        "rows": [row],
        "absolute": [{"absolute": "first `make run`", "text": "120 s"}],
        "failed": {},
        "seconds": 1200.0,
        **benchmark.describe_machine(),
    }


def test_both_sides_run_in_turn_and_the_ratio_is_the_median():
    order, seconds = [], iter([10.0, 10.0, 3.0])
    sides = {name: lambda name=name: order.append(name) for name in "ab"}
    found = measure.alternate(sides | {"own": lambda: (next(seconds), 1)}, 3)
    assert order == list("ababab")
    assert [len(side["seconds"]) for side in found.values()] == [3, 3, 3]
    assert found["a"]["seconds"][0] < 2
    assert found["own"]["peak_mb"] == [1] * 3  # what a side returns counts
    row = measure.to_row("a", 2, {"seconds": [1, 2, 1]}, found["own"])
    assert (row["ratio"], row["low"], row["high"]) == (5, 3, 10)


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
    seconds = {"1n": 1.0, "2n": 2.0, "4n": 8.0}
    found = {k: {"seconds": [s], "peak_mb": [9]} for k, s in seconds.items()}
    row = to_growth_row("growth, time", found, "seconds", "")
    assert (row["ratio"], row["against"]) == (0.5, "4n")
    assert not benchmark.holds(row)
    assert benchmark.holds(to_growth_row("", found, "peak_mb", ""))


def test_time_to_an_accuracy():
    history = {"val_accuracy": [0.5, 0.85, 0.8], "seconds": [3.0, 6.0, 9.0]}
    assert time_to(history, 0.845) == (6.0, 2)
    assert time_to(history, 0.9) == (float("inf"), 0)


def test_the_ancestor_has_as_many_weights_as_its_notebook_printed():
    assert peers.build_ancestor_cnn(150).count_params() == 19_024_513


def test_a_missed_floor_is_flagged_and_the_machine_is_named():
    table = benchmark.to_table(a_record())
    assert "missed" not in table
    assert "| 300 / 300 | 8 images |" in table
    for part in ("CPU cores", "tensorflow", "keras", "20 min"):
        assert part in table.splitlines()[-1]
    assert "2.5 **missed**" in benchmark.to_table(a_record(ratio=2.4))
    assert "missed" not in benchmark.to_table(a_record(ratio=1, floor=None))
    failed = a_record() | {"failed": {"head": "ValueError: no"}}
    assert "| head | failed |" in benchmark.to_table(failed)


def test_a_missed_floor_gives_status_1(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmark, "WORK", tmp_path)
    for ratio, status in ((3.0, 0), (2.4, 1)):
        found = a_record(ratio=ratio)
        monkeypatch.setattr(benchmark, "measure_all", lambda *_, r=found: r)
        assert benchmark.main(["ROWS=prepare"]) == status
    assert "missed: prepare" in capsys.readouterr().err
    assert json.loads((tmp_path / "benchmark.json").read_text()) == found


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("ROW=prepare", "Received: ROW=prepare. Known: ROWS=prepare,input,"),
        ("ROWS=prepair", "Received: ROWS=prepair"),
        ("ROWS=", "Received: ROWS="),
        ("RECORD=1", "RECORD=no,yes"),
        ("RECORD=yes", "all rows at full size"),
    ],
)
def test_wrong_arguments_get_one_line(argument, said, capsys):
    assert benchmark.main(["ROWS=head", argument]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmark: ")
    assert said in line


def test_operations_are_counted_by_hand():
    import keras
    from keras import layers

    parts = [
        keras.Input((8, 8, 3)),
        layers.Conv2D(4, 3, padding="same"),  # 64 places, 3 x 3 x 3 x 4
        layers.DepthwiseConv2D(3, strides=2, padding="same"),  # 16 places
        layers.Flatten(),
        layers.Dense(2),  # 64 x 2
    ]
    inner = keras.Sequential(parts)
    expected = 2 * (64 * 108 + 16 * 36 + 128)
    assert operations(keras.Sequential([parts[0], inner])) == expected


def test_the_readme_shows_the_record():
    path = ROOT / "benchmarks" / "results" / "benchmark.json"
    found = json.loads(path.read_text("utf-8"))
    page = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    table = benchmark.to_table(found)
    assert record.write_into(page, "benchmark", table) == page
    assert "new" in record.write_into(page, "benchmark", "new")
    assert found["size"] == "full"
    assert found["took"].keys() | found["failed"].keys() == rows.ROWS.keys()


@pytest.mark.parametrize("name", ["prepare", "input"])
def test_a_row_on_drawings(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(material, "SHARED", tmp_path / "nothing")
    size = rows.sizes("tiny", real=False) | {"originals": 8}
    found = rows.measure(name, size, tmp_path)
    assert found["rows"]
    for row in found["rows"]:
        assert 0 < row["low"] <= row["ratio"] <= row["high"]
        assert min(row["ours"]["peak_mb"]) > 50
    order = [x.split()[2] for x in capsys.readouterr().out.splitlines()]
    assert order[:2] == ["ours", "theirs"]
    assert json.dumps(found, allow_nan=False)


def test_a_row_has_a_process_of_its_own(tmp_path):
    found = benchmark.measure_all(["nothing"], "tiny", tmp_path)
    assert "KeyError: 'nothing'" in found["failed"]["nothing"]
    assert found["took"] == {}


def test_make_benchmark_passes_its_names():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "-m benchmarks.benchmark $(given)" in makefile
    command = [sys.executable, "-m", "benchmarks.benchmark", "ROWS=x"]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE)
    assert done.returncode == 2
