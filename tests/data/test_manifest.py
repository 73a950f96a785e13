"""Preparing a folder: whole, repeatable, and nothing of it touched."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import picture
from PIL import Image

from catdog_helpers.data import prepared as module
from catdog_helpers.data.images import read_image
from catdog_helpers.data.manifest import (
    has_other_label,
    is_odd,
    read_manifest,
    summarize,
    write_manifest,
)
from catdog_helpers.data.prepared import prepare

ROOT = Path(__file__).parents[2]


def save(path: Path, seed: int, side: int = 64, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture(seed, 64)).resize((side, side))
    mode = options.pop("mode", "RGB")
    image.convert(mode).save(path, **options)


def run_script(code: str, *arguments) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def odd_folder(tmp_path) -> Path:
    """All that may lie in a folder of photographs, one or two of each."""
    folder = tmp_path / "photos"
    for i in range(4):
        save(folder / "Cat" / f"{i}.jpg", i)
        save(folder / "Dog" / f"{i}.jpg", 10 + i)
    shutil.copy(folder / "Cat/0.jpg", folder / "Cat/exact.jpg")
    save(folder / "Cat/recompressed.jpg", 1, quality=40)
    save(folder / "Dog/resized.jpg", 10, side=90)
    shutil.copy(folder / "Cat/2.jpg", folder / "Dog/a cat.jpg")
    save(folder / "Dog/grey.jpg", 20, mode="L")
    save(folder / "Dog/cmyk.jpg", 21, mode="CMYK")
    save(folder / "Dog/png.jpg", 22, format="PNG")
    save(folder / "Dog/honest.png", 23)
    (folder / "Cat/empty.jpg").touch()
    (folder / "Cat/page.jpg").write_text("<!DOCTYPE html><p>not found")
    whole = (folder / "Cat/3.jpg").read_bytes()
    (folder / "Dog/short.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "Dog/Thumbs.db").write_bytes(b"junk")
    return folder


@pytest.fixture
def found(odd_folder, tmp_path) -> tuple[np.ndarray, pd.DataFrame]:
    """Images and manifest of the odd folder."""
    return prepare(odd_folder, tmp_path / "data", 32)


@pytest.fixture
def four(photographs, tmp_path) -> Path:
    """A folder of four small photographs."""
    return photographs(tmp_path / "photos", {"a": 2, "b": 2})


def by_path(series: pd.Series, manifest: pd.DataFrame) -> set[str]:
    return set(manifest.path[series])


def test_training_sees_what_prediction_sees_bit_for_bit(odd_folder, found):
    images, manifest = found
    assert images.shape == (len(manifest), 32, 32, 3)
    assert images.dtype == np.uint8
    assert not images.flags.writeable
    assert isinstance(images, np.memmap)
    for row in manifest.itertuples():
        if row.status == "ok":
            expected = read_image(odd_folder / row.path, 32)
            assert np.array_equal(images[row.Index], expected), row.path


def test_manifest_says_what_each_file_is(found):
    images, manifest = found
    rejected = manifest.status == "rejected"
    assert not images[rejected].any()
    assert (manifest.reason[~rejected] == "").all()
    rows = manifest.set_index("path")
    assert rows.reason["Cat/empty.jpg"] == "empty file (0 bytes)"
    assert rows.reason["Cat/page.jpg"] == "a web page, not an image"
    assert "truncated" in rows.reason["Dog/short.jpg"]
    assert rejected.sum() == 3
    columns = ["format", "mode", "width", "height"]
    assert rows.loc["Dog/resized.jpg", columns].tolist() == (
        ["JPEG", "RGB", 90, 90]
    )
    assert rows.loc["Dog/png.jpg", "format"] == "PNG"
    assert rows.sha256.str.fullmatch("[0-9a-f]{64}").all()
    assert rows["class"].tolist() == [path[:3] for path in rows.index]


def test_copies_odd_files_and_other_labels_are_reported(found):
    _, manifest = found
    first = dict(zip(manifest.path, manifest.path[manifest.group], strict=True))
    assert {path: of for path, of in first.items() if path != of} == {
        "Cat/exact.jpg": "Cat/0.jpg",
        "Cat/recompressed.jpg": "Cat/1.jpg",
        "Dog/resized.jpg": "Dog/0.jpg",
        "Dog/a cat.jpg": "Cat/2.jpg",
    }
    other = by_path(has_other_label(manifest), manifest)
    assert other == {"Cat/2.jpg", "Dog/a cat.jpg"}
    odd = by_path(is_odd(manifest), manifest)
    assert odd == {"Dog/grey.jpg", "Dog/cmyk.jpg", "Dog/png.jpg"}
    table = summarize(manifest)
    assert list(table) == ["Cat", "Dog", "total"]
    assert dict(zip(table.index, table.to_numpy().tolist(), strict=True)) == {
        "files": [8, 11, 19],
        "rejected: do not decode": [2, 1, 3],
        "sound": [6, 10, 16],
        "sound but odd (kept)": [0, 3, 3],
        "copies of another file": [2, 2, 4],
        "copies with another label": [1, 1, 2],
        "near copies with another label (kept)": [0, 0, 0],
    }


def test_nothing_in_the_folder_changes_and_nothing_is_done_twice(
    odd_folder, tmp_path, monkeypatch
):
    def contents():
        files = sorted(filter(Path.is_file, odd_folder.rglob("*")))
        return [(x, x.read_bytes(), x.stat().st_mtime_ns) for x in files]

    before = contents()
    images, manifest = prepare(odd_folder, tmp_path / "data", 32)
    assert contents() == before
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names <= {"prepared_32px", "prepared_32px.lock"}
    monkeypatch.setattr(module, "decode_one", None)
    for path in odd_folder.rglob("*.*"):
        path.touch()  # as if it had been unpacked again
    again, same = prepare(odd_folder, tmp_path / "data", 32)
    assert np.array_equal(images, again)
    pd.testing.assert_frame_equal(manifest, same)


@pytest.mark.parametrize("change", ["edit", "add", "remove", "relabel"])
def test_a_changed_folder_is_prepared_again(
    photographs, tmp_path, change, capsys
):
    folder = photographs(tmp_path / "photos", {"a": 3, "b": 3})
    prepare(folder, tmp_path / "data", 8)
    first = folder / "a" / "000.png"
    if change == "edit":
        save(first, 77)
    elif change == "add":
        save(folder / "a" / "new.png", 77)
    elif change == "remove":
        first.unlink()
    else:
        first.rename(folder / "b" / "moved.png")
    assert "changed" not in capsys.readouterr().err
    images, manifest = prepare(folder, tmp_path / "data", 8)
    assert "decode (changed: files)" in capsys.readouterr().err
    fresh, expected = prepare(folder, tmp_path / "fresh", 8)
    assert np.array_equal(images, fresh)
    pd.testing.assert_frame_equal(manifest, expected)


def test_other_code_prepares_again_and_says_so(
    four, tmp_path, monkeypatch, capsys
):
    prepare(four, tmp_path / "data", 8)
    monkeypatch.setattr(module, "DECODER", module.DECODER + 1)
    prepare(four, tmp_path / "data", 8)
    assert "decode (changed: code version)" in capsys.readouterr().err


def test_leftovers_of_a_killed_run_are_removed(four, tmp_path):
    leftover = tmp_path / "data" / "prepared_8px.partial-12345678"
    other = tmp_path / "data" / "prepared_16px.partial-12345678"
    for path in (leftover, other):
        path.mkdir(parents=True)
        (path / "images.npy").write_bytes(b"half")
    prepare(four, tmp_path / "data", 8)
    assert not leftover.exists()
    assert other.exists()  # another image size may be under way


def test_number_of_threads_changes_nothing(odd_folder, tmp_path):
    for workers in (1, 4):
        prepare(odd_folder, tmp_path / f"{workers}", 32, workers=workers)
    for name in ("images.npy", "manifest.csv", "images.json"):
        one, four = (tmp_path / f"{n}/prepared_32px" / name for n in (1, 4))
        assert one.read_bytes() == four.read_bytes(), name


# tqdm shares one lock with forked children: a killed one would keep it.
OWN_LOCK = """
import threading
from tqdm import tqdm
tqdm.set_lock(threading.RLock())
tqdm.monitor_interval = 0
"""


KILLS_AT_STEPS = """
import os, signal, sys
from pathlib import Path
from catdog_helpers.data import prepared as manifest

folder, undisturbed, data = sys.argv[1:]
manifest.prepare(folder, undisturbed, 48)
manifest.prepare(folder, data, 48)

def read(place):
    names = "images.npy", "manifest.csv"
    return [Path(place, "prepared_48px", x).read_bytes() for x in names]

steps = ((manifest.shutil, "rmtree"), (manifest.os, "replace"),
         (manifest, "write_manifest"), (manifest.Path, "write_text"))
hits = 0
for place, name in steps:
    for late in (False, True):
        Path(data, "prepared_48px", "images.json").unlink()
        child = os.fork()
        if not child:
            step = getattr(place, name)
            def fatal(*arguments, **options):
                if late:
                    step(*arguments, **options)
                os.kill(os.getpid(), signal.SIGKILL)
            setattr(place, name, fatal)
            manifest.prepare(folder, data, 48)
            os._exit(0)
        hits += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        manifest.prepare(folder, data, 48)
        assert read(data) == read(undisturbed), (name, late)
print(hits)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_kills_at_any_step_the_next_call_finishes(photographs, tmp_path):
    folder = photographs(tmp_path / "photos", {"a": 60, "b": 60}, side=120)
    places = [folder, tmp_path / "undisturbed", tmp_path / "data"]
    assert int(run_script(OWN_LOCK + KILLS_AT_STEPS, *places)) == 8  # died
    left = {path.name for path in places[2].iterdir()}
    assert left <= {"prepared_48px", "prepared_48px.lock"}


NAMES = ["NA", "null", "1", "猫", "a, b", 'say "miau"', " blank ", "nan", "#1"]


def test_class_names_survive_the_csv_file(tmp_path):
    folder = tmp_path / "photos"
    for seed, name in enumerate(NAMES):
        save(folder / name / "001.png", seed)
        save(folder / name / "NA.png", 100 + seed)
    _, manifest = prepare(folder, tmp_path / "data", 8)
    assert set(manifest["class"]) == set(NAMES)
    path = tmp_path / "again.csv"
    write_manifest(manifest.assign(split="", label=0), path)
    again = read_manifest(path)
    expected = manifest.assign(split="", label=0)
    pd.testing.assert_frame_equal(again, expected, check_dtype=False)
    for row in again.itertuples():
        assert (folder / row.path).is_file()


@pytest.mark.parametrize(
    "harm",
    [
        shutil.rmtree,
        lambda prepared: (prepared / "images.npy").unlink(),
        lambda prepared: (prepared / "images.json").write_text(""),
    ],
)
def test_a_lost_record_means_preparing_again(four, tmp_path, harm):
    expected = np.array(prepare(four, tmp_path / "data", 8)[0])
    harm(tmp_path / "data" / "prepared_8px")
    images, _ = prepare(four, tmp_path / "data", 8)
    assert np.array_equal(images, expected)
    record = tmp_path / "data" / "prepared_8px" / "images.json"
    assert len(json.loads(record.read_text())["key"]) == 64


@pytest.mark.skipif(sys.platform != "linux", reason="needs pipes and bytes")
def test_odd_files_are_listed_and_not_waited_for(four, tmp_path):
    os.mkfifo(four / "a" / "pipe.jpg")
    (four / "b" / "device.jpg").symlink_to("/dev/zero")
    (four / "b" / "lost.jpg").symlink_to(tmp_path / "nothing.jpg")
    name = os.fsdecode(b"caf\xe9.png")  # no text
    save(four / "a" / name, 50)
    for _ in range(2):
        _, manifest = prepare(four, tmp_path / "data", 8)
        rejected = manifest.status == "rejected"
        assert by_path(rejected, manifest) == {
            "a/pipe.jpg",
            "b/device.jpg",
            "b/lost.jpg",
        }
        assert manifest.reason.str.contains("not a regular").sum() == 2
        assert by_path(~rejected, manifest) > {f"a/{name}"}
        (four / "a" / "000.png").touch()  # read again, as it looks changed


MEMORY = """
import sys, threading, time
from catdog_helpers.data.prepared import prepare

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(x.split()[1]) for x in file if "RssAnon" in x) / 1024

def watch():
    while True:
        peaks.append(anonymous())
        time.sleep(0.005)

before, peaks = anonymous(), []
threading.Thread(target=watch, daemon=True).start()
images, _ = prepare(sys.argv[1], sys.argv[2], 192)
print(max(peaks) - before, images.nbytes / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_does_not_grow_with_the_number_of_images(photographs, tmp_path):
    folder = tmp_path / "photos"
    for i in range(1500):
        save(folder / f"{i % 2}" / f"{i}.jpg", i, side=192)
    said = run_script(MEMORY, folder, tmp_path / "data")
    peak, size = map(float, said.split())
    assert size > 150
    assert peak < 60, f"{peak:.0f} MB for an array of {size:.0f} MB"


PEAK = """
import sys
from catdog_helpers.data.prepared import prepare

_, manifest = prepare(sys.argv[1], sys.argv[2], 192, workers=8)
assert (manifest.status == "ok").all(), manifest.reason
with open("/proc/self/status") as file:
    print(next(int(x.split()[1]) for x in file if "VmHWM" in x) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    ("mode", "suffix", "options"),
    [
        ("RGBA", "png", {}),
        ("RGB", "jpg", {}),
        ("RGB", "jpg", {"progressive": True}),
    ],
)
def test_pictures_of_64_megapixels_take_turns(tmp_path, mode, suffix, options):
    first = tmp_path / f"0.{suffix}"
    Image.new(mode, (8000, 8000)).save(first, **options)
    for i in range(32):
        path = tmp_path / "photos" / f"{i % 2}" / f"{i}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(first, path)
    said = run_script(PEAK, tmp_path / "photos", tmp_path / "data")
    assert float(said) < 800
