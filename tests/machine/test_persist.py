"""What a session made comes back in the next one."""

import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import run as runner
from catdog_helpers.data.prepared import prepare
from catdog_helpers.machine import persist
from catdog_helpers.machine.files import read_json, write_json
from catdog_helpers.machine.persist import backup, restore
from catdog_helpers.results import load_results

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def made(tmp_path):
    """A little of all that lies in DATA and OUT."""
    data, out = tmp_path / "here" / "data", tmp_path / "here" / "run"
    names = [
        "small/cats.zip",
        "small/images/cat/1.jpg",
        "small/.lock",
        "small/prepared_8px/images.json",
        "small/prepared_8px/images.npy",
        "small/prepared_8px/features/front-1.npy",
        "small/prepared_8px/features/front-2.partial",
        "small/prepared_8px.partial-12/images.npy",
    ]
    for name in names:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    (out / "models").mkdir(parents=True)
    (out / "models" / "a.keras").write_text("a")
    return data, out


def test_few_large_files_are_kept_and_come_back(made, tmp_path):
    data, out = made
    drive = tmp_path / "drive"
    kept = [str(p.relative_to(drive)) for p in backup(data, out, persist=drive)]
    # Last: a drive that fills up must not hold a record of other images.
    assert kept[3] == "data/small/prepared_8px/images.json"
    assert set(kept) == {
        "data/small/cats.zip",
        "data/small/prepared_8px/images.json",
        "data/small/prepared_8px/images.npy",
        "data/small/prepared_8px/features/front-1.npy",
        "run/models/a.keras",
    }
    assert backup(data, out, persist=drive) == []  # nothing has changed
    (out / "models" / "a.keras").write_text("changed")
    assert len(backup(data, out, persist=drive)) == 1
    shutil.rmtree(data.parent)
    assert len(restore(data, out, persist=drive)) == 5
    assert (out / "models" / "a.keras").read_text() == "changed"
    (out / "models" / "a.keras").write_text("newer")  # it is not replaced
    assert restore(data, out, persist=drive) == []
    assert (out / "models" / "a.keras").read_text() == "newer"
    assert backup(data, out) == restore(data, out) == []  # nowhere to go


def test_an_older_file_does_not_replace_what_was_kept(made, tmp_path):
    """Two sessions side by side: the one that lags behind harms nothing."""
    data, out = made
    drive = tmp_path / "drive"
    backup(data, out, persist=drive)
    (drive / "run" / "models" / "a.keras").write_text("of the other session")
    old = (out / "models" / "a.keras").stat().st_mtime - 60
    os.utime(out / "models" / "a.keras", (old, old))
    with pytest.warns(UserWarning, match="a.keras is newer .*clock"):
        assert backup(data, out, persist=drive) == []
    kept = drive / "run" / "models" / "a.keras"
    assert kept.read_text() == "of the other session"
    # Some drives give a copy the time at which it was made: no reason to warn.
    kept.write_text("a")
    os.utime(kept, (2e9, 2e9))
    with warnings.catch_warnings(action="error"):
        assert backup(data, out, persist=drive) == []


@pytest.mark.parametrize("what", ["replaced", "deleted"])
def test_a_file_that_changes_while_it_is_copied(
    what, made, tmp_path, monkeypatch
):
    """It is copied again by the next call, or is skipped."""
    data, out = made
    whole, model = persist.shutil.copyfile, out / "models" / "a.keras"
    old = model.stat().st_mtime - 60
    os.utime(model, (old, old))

    def copyfile(source, target):
        if source == model and what == "deleted":
            source.unlink()
        whole(source, target)
        if source == model:
            model.write_text("b")  # by another process, of the same length

    monkeypatch.setattr(persist.shutil, "copyfile", copyfile)
    n = len(backup(data, out, persist=tmp_path / "drive"))
    assert n == (5 if what == "replaced" else 4)
    monkeypatch.setattr(persist.shutil, "copyfile", whole)
    found = backup(data, out, persist=tmp_path / "drive")
    assert [p.read_text() for p in found] == ["b"] * (what == "replaced")


LOOP = """
import sys
from pathlib import Path
from catdog_helpers.machine.files import write_json
from catdog_helpers.machine.persist import backup
out, drive, text = Path(sys.argv[1]), sys.argv[2], sys.argv[3] * 100_000
for i in range(60):
    write_json(out / "shared.json", {"text": text, "i": i})
    (out / f"{sys.argv[3]}.txt").write_text(text)
    backup(out, persist=drive)
    (out / f"{sys.argv[3]}.txt").unlink()
"""


def test_two_processes_share_one_folder_and_one_drive(tmp_path):
    out, drive = tmp_path / "out", tmp_path / "drive"
    out.mkdir()
    command = [sys.executable, "-W", "ignore", "-c", LOOP, str(out), str(drive)]
    both = [subprocess.Popen([*command, text], cwd=ROOT) for text in "ab"]
    while any(process.poll() is None for process in both):
        for folder in (out, drive / "out"):
            if content := read_json(folder / "shared.json"):
                assert len(set(content["text"])) == 1
                assert len(content["text"]) == 100_000
    assert [process.returncode for process in both] == [0, 0]
    left = {p.name for p in out.iterdir()} | {
        p.name for p in (drive / "out").iterdir()
    }
    assert left == {"shared.json", "a.txt", "b.txt"}


def test_partial_files_of_killed_processes_are_deleted_a_day_later(tmp_path):
    """And nothing else, be it as old as that."""
    names = [
        ".a.0123456789ab.partial.json",
        ".b.c.0123456789ab.partial",
        ".a.partial.json",
        "a.0123456789ab.partial.json",
        ".a.0123456789ab.json",
    ]
    now = time.time()
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (now - 90_000, now - 90_000))
    living = tmp_path / ".a.ffffffffffff.partial.json"
    living.touch()
    os.utime(living, (now - 80_000, now - 80_000))
    write_json(tmp_path / "other.json", {})
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*names[2:], living.name, "other.json"}


def test_a_full_drive_leaves_what_was_there(made, tmp_path, monkeypatch):
    data, out = made
    backup(data, out, persist=tmp_path / "drive")
    (out / "models" / "a.keras").write_text("changed")

    def full(source, target):
        target.write_text("ha")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(persist.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left.*a.keras"):
        backup(data, out, persist=tmp_path / "drive")
    models = tmp_path / "drive" / "run" / "models"
    assert [p.name for p in models.iterdir()] == ["a.keras"]
    assert (models / "a.keras").read_text() == "a"


def test_copied_photographs_are_not_prepared_again(photographs, tmp_path):
    folder = photographs(tmp_path / "photos", {"a": 3, "b": 3})
    images, _ = prepare(folder, tmp_path / "data", 8)
    features = tmp_path / "data" / "prepared_8px" / "features"
    features.mkdir()
    for path in folder.rglob("*.png"):  # the same bytes, written anew
        path.write_bytes(path.read_bytes())
    again, _ = prepare(folder, tmp_path / "data", 8)
    assert features.is_dir()
    np.testing.assert_array_equal(images, again)
    path.write_bytes((folder / "a" / "000.png").read_bytes())
    prepare(folder, tmp_path / "data", 8)
    assert not features.is_dir()


@pytest.mark.slow
def test_a_new_machine_goes_on_where_the_old_one_ended(tmp_path, monkeypatch):
    """Notebook 4 is opened first there; nothing is computed twice."""
    drive, here = tmp_path / "drive", tmp_path / "here"
    few = {"TRAIN": 24, "VALIDATION": 16, "TEST": 16, "EPOCHS": 1}
    given = [f"OUT={here / 'out'}", f"PERSIST={drive}", "NOTEBOOKS=1,3"]
    dials = runner.parse_dials(given)
    dials |= {"DATA": str(here / "data"), "IMAGE_SIZE": 64, **few}
    runner.run(dials)
    before = load_results(here / "out")["bottleneck"]
    shutil.rmtree(here)
    fourth = runner.parse_dials(["NOTEBOOKS=4"])["NOTEBOOKS"]
    out = runner.run(dials | {"NOTEBOOKS": fourth})
    results = load_results(out)
    assert results["bottleneck"] == before
    assert "fine_tuned" in results
    front = list((here / "data").rglob("front-*.npy"))
    kept = list((drive / "data").rglob("front-*.npy"))
    assert len(front) == len(kept) == 2
    assert not list(drive.rglob("images/*"))
    assert (drive / "out" / "models" / "fine_tuned.keras").is_file()
