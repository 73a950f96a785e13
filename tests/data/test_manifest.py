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


def contents(folder: Path) -> dict[str, tuple]:
    """Return bytes and time of change by path."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


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


def by_path(series: pd.Series, manifest: pd.DataFrame) -> set[str]:
    return set(manifest.path[series])


def test_training_sees_what_prediction_sees_bit_for_bit(odd_folder, tmp_path):
    images, manifest = prepare(odd_folder, tmp_path / "data", 32)
    assert images.shape == (len(manifest), 32, 32, 3)
    assert images.dtype == np.uint8
    assert not images.flags.writeable
    assert isinstance(images, np.memmap)
    for row in manifest.itertuples():
        if row.status == "ok":
            expected = read_image(odd_folder / row.path, 32)
            assert np.array_equal(images[row.Index], expected), row.path


def test_what_does_not_decode_is_listed_with_its_reason(odd_folder, tmp_path):
    images, manifest = prepare(odd_folder, tmp_path / "data", 32)
    rejected = manifest[manifest.status == "rejected"].set_index("path")
    assert set(rejected.index) == {
        "Cat/empty.jpg",
        "Cat/page.jpg",
        "Dog/short.jpg",
    }
    assert rejected.reason["Cat/empty.jpg"] == "empty file (0 bytes)"
    assert rejected.reason["Cat/page.jpg"] == "a web page, not an image"
    assert "truncated" in rejected.reason["Dog/short.jpg"]
    assert not images[manifest.status == "rejected"].any()
    assert (manifest.reason[manifest.status == "ok"] == "").all()


def test_manifest_says_what_each_file_is(odd_folder, tmp_path):
    _, manifest = prepare(odd_folder, tmp_path / "data", 32)
    rows = manifest.set_index("path")
    columns = ["format", "mode", "width", "height"]
    assert rows.loc["Dog/resized.jpg", columns].tolist() == (
        ["JPEG", "RGB", 90, 90]
    )
    assert rows.loc["Dog/png.jpg", "format"] == "PNG"
    assert rows.sha256.str.fullmatch("[0-9a-f]{64}").all()
    assert rows["class"].tolist() == [path[:3] for path in rows.index]


def test_copies_odd_files_and_other_labels_are_reported(odd_folder, tmp_path):
    _, manifest = prepare(odd_folder, tmp_path / "data", 32)
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
    assert table.to_dict("index") == {
        "files": {"Cat": 8, "Dog": 11, "total": 19},
        "rejected: do not decode": {"Cat": 2, "Dog": 1, "total": 3},
        "sound": {"Cat": 6, "Dog": 10, "total": 16},
        "sound but odd (kept)": {"Cat": 0, "Dog": 3, "total": 3},
        "copies of another file": {"Cat": 2, "Dog": 2, "total": 4},
        "copies with another label": {"Cat": 1, "Dog": 1, "total": 2},
        "near copies with another label (kept)": {
            "Cat": 0,
            "Dog": 0,
            "total": 0,
        },
    }


def test_nothing_in_the_folder_changes(odd_folder, tmp_path):
    before = contents(odd_folder)
    prepare(odd_folder, tmp_path / "data", 32)
    assert contents(odd_folder) == before
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names <= {"prepared_32px", "prepared_32px.lock"}


def test_prepared_images_are_used_again(odd_folder, tmp_path, monkeypatch):
    images, manifest = prepare(odd_folder, tmp_path / "data", 32)
    monkeypatch.setattr(module, "decode_one", None)
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
    photographs, tmp_path, monkeypatch, capsys
):
    folder = photographs(tmp_path / "photos", {"a": 2, "b": 2})
    prepare(folder, tmp_path / "data", 8)
    monkeypatch.setattr(module, "DECODER", module.DECODER + 1)
    prepare(folder, tmp_path / "data", 8)
    assert "decode (changed: code version)" in capsys.readouterr().err


def test_leftovers_of_a_killed_run_are_removed(photographs, tmp_path):
    folder = photographs(tmp_path / "photos", {"a": 2, "b": 2})
    leftover = tmp_path / "data" / "prepared_8px.partial-12345678"
    other = tmp_path / "data" / "prepared_16px.partial-12345678"
    for path in (leftover, other):
        path.mkdir(parents=True)
        (path / "images.npy").write_bytes(b"half")
    prepare(folder, tmp_path / "data", 8)
    assert not leftover.exists()
    assert other.exists()  # another image size may be under way


@pytest.mark.parametrize("workers", [1, 4])
def test_number_of_threads_changes_nothing(odd_folder, tmp_path, workers):
    prepare(odd_folder, tmp_path / "default", 32)
    prepare(odd_folder, tmp_path / "data", 32, workers=workers)
    for name in ("images.npy", "manifest.csv", "images.json"):
        path = Path("prepared_32px") / name
        expected = (tmp_path / "default" / path).read_bytes()
        assert (tmp_path / "data" / path).read_bytes() == expected, name


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
    done = subprocess.run(
        [sys.executable, "-c", OWN_LOCK + KILLS_AT_STEPS, *places],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 8  # so many died at work
    _, undisturbed, data = places
    left = {path.name for path in data.iterdir()}
    assert left <= {"prepared_48px", "prepared_48px.lock"}
    for name in ("images.npy", "manifest.csv"):
        path = Path("prepared_48px") / name
        same = (data / path).read_bytes() == (undisturbed / path).read_bytes()
        assert same, name


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


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text")
def test_file_names_that_are_no_text_are_kept(photographs, tmp_path):
    folder = photographs(tmp_path / "photos", {"a": 2, "b": 2})
    name = os.fsdecode(b"caf\xe9.png")
    save(folder / "a" / name, 50)
    _, manifest = prepare(folder, tmp_path / "data", 8)
    assert f"a/{name}" in set(manifest.path)


@pytest.mark.parametrize(
    "harm",
    [
        shutil.rmtree,
        lambda prepared: (prepared / "images.npy").unlink(),
        lambda prepared: (prepared / "images.json").write_text(""),
    ],
)
def test_a_lost_record_means_preparing_again(photographs, tmp_path, harm):
    folder = photographs(tmp_path / "photos", {"a": 2, "b": 2})
    images, _ = prepare(folder, tmp_path / "data", 8)
    expected = np.array(images)
    harm(tmp_path / "data" / "prepared_8px")
    images, _ = prepare(folder, tmp_path / "data", 8)
    assert np.array_equal(images, expected)
    record = tmp_path / "data" / "prepared_8px" / "images.json"
    assert len(json.loads(record.read_text())["key"]) == 64


def test_a_link_that_leads_nowhere_is_rejected(photographs, tmp_path):
    folder = photographs(tmp_path / "photos", {"a": 2, "b": 2})
    (folder / "a" / "lost.jpg").symlink_to(tmp_path / "nothing.jpg")
    _, manifest = prepare(folder, tmp_path / "data", 8)
    assert by_path(manifest.status == "rejected", manifest) == {"a/lost.jpg"}


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

    done = subprocess.run(
        [sys.executable, "-c", MEMORY, folder, tmp_path / "data"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    peak, size = map(float, done.stdout.split())
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
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path / "photos", tmp_path / "data"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 800


def test_pipes_and_devices_are_rejected_and_not_waited_for(
    photographs, tmp_path
):
    folder = photographs(tmp_path / "photos", {"a": 2, "b": 2})
    os.mkfifo(folder / "a" / "pipe.jpg")
    (folder / "b" / "device.jpg").symlink_to("/dev/zero")
    for _ in range(2):
        _, manifest = prepare(folder, tmp_path / "data", 8)
        rejected = manifest.status == "rejected"
        assert by_path(rejected, manifest) == {"a/pipe.jpg", "b/device.jpg"}
        assert manifest.reason[rejected].str.contains("not a regular").all()
        (folder / "a" / "000.png").touch()  # read again, as it looks changed
