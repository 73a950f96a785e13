"""Fetching: bad servers, kills at any moment, two at once, full disks."""

import errno
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hostile_server import hang, reply, serve, status

from catdog_helpers.data import download
from catdog_helpers.data.layout import index_images
from catdog_helpers.data.sample import draw
from catdog_helpers.data.sources import (
    MARKER,
    NAMES,
    PLACES,
    SOURCES,
    dataset_dir,
    fetch,
)
from catdog_helpers.machine.files import sha256_of

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:No SHA-256 is known")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Wait for milliseconds instead of seconds, and use no proxy."""
    monkeypatch.setattr(download, "BACKOFF", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", (2, 0.3))
    monkeypatch.setenv("NO_PROXY", "*")


def make_zip(n_files=6, n_bytes=50_000, seed=0):
    """Return a zip of so many 'images' (random bytes) of two classes."""
    rng, buffer = random.Random(seed), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for i in range(n_files):
            name = f"Pets/{('Cat', 'Dog')[i % 2]}/{i}.jpg"
            file.writestr(zipfile.ZipInfo(name), rng.randbytes(n_bytes))
    return buffer.getvalue()


BODY = make_zip()
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER = make_zip(seed=1)
HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"


def tree(folder):
    """Return hash by path of all files below a folder, but the lock."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def get(server, path, **known):
    urls = [f"{server.address}/pets.zip"]
    return download.download(urls, path / "pets.zip", **known)


KNOWN = {"size": len(BODY), "sha256": SHA256}
WHOLE = reply(BODY)
CUT = reply(BODY, cut=100_000)
OTHER_CUT = reply(OTHER, cut=100_000)


# What each server does wrong before it answers as it should
@pytest.mark.parametrize(
    "plan",
    {
        "cut": [CUT],
        "cut, no length": [reply(BODY, cut=100_000, length=False)],
        "cut, chunked": [reply(BODY, cut=100_000, chunked=True)],
        "cut at once": [reply(BODY, cut=0)] * 3,
        "cut often": [reply(BODY, cut=90_000)] * 3,
        "ranges ignored": [CUT, reply(BODY, ranges=False, cut=200_000)],
        "wrong range": [CUT, reply(BODY, content_range="bytes 0-9/10")],
        "no range at all": [CUT, reply(BODY, content_range="nonsense")],
        "other, 206": [OTHER_CUT, reply(BODY, etag='"v2"', if_range=False)],
        "other, 200": [OTHER_CUT, reply(BODY, etag='"v2"')],
        "no version": [reply(BODY, cut=100_000, etag=None)],
        "weak version": [reply(BODY, cut=100_000, etag='W/"v1"')],
        "500": [status(500)],
        "503": [status(503, Retry_After=0)] * 3,
        "429": [status(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")],
        "416": [CUT, status(416)],
        "hangs": [hang],
        "hangs in the middle": [reply(BODY, cut=100_000, then=hang)],
        "redirects": [status(302, Location="/elsewhere.zip")],
    }.items(),
    ids=lambda item: item[0],
)
@pytest.mark.parametrize("known", [KNOWN, {}], ids=["known", "unknown"])
def test_download_survives(tmp_path, plan, known):
    name, steps = plan
    if name == "cut, no length" and not known:
        pytest.skip("a zip that was cut without any sign: tested below")
    with serve(*steps, WHOLE) as server:
        path = get(server, tmp_path, **known)
    assert path.read_bytes() == BODY
    assert {p.name for p in tmp_path.iterdir()} <= {
        "pets.zip",
        "pets.zip.sha256",
    }


# What is wrong for good, and the word that must be in the message
@pytest.mark.parametrize(
    ("plan", "word", "n_requests"),
    [
        (status(404), "HTTP 404", 1),
        (status(403), "HTTP 403", 1),
        (status(500), "HTTP 500", 5),
        (status(302, Location="/pets.zip"), "TooManyRedirects", 11),
        (status(302, Location="http://192.0.2.1/a.zip"), "without https", 1),
        (reply(HTML), "web page", 1),
        (reply(HTML, length=False), "web page", 1),
        (reply(OTHER), "SHA-256", 1),
        (reply(BODY[:-9]), "bytes instead of", 1),
        (reply(BODY + b"more", length=False), "more than", 1),
        (reply(BODY, cut=10), "was cut", 5),
        (reply(b""), "was cut", 5),
        (hang, "ReadTimeout", 5),
    ],
)
def test_download_says_why_not(tmp_path, plan, word, n_requests):
    with serve(plan) as server, pytest.raises(OSError, match=word) as caught:
        get(server, tmp_path, **KNOWN)
    message = str(caught.value)
    assert "\n" not in message
    for part in (f"{server.address}/pets.zip", SHA256, f"{tmp_path}/pets.zip"):
        assert part in message
    assert len(server.requests) == n_requests
    assert not (tmp_path / "pets.zip").exists()


DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
WEAK = {"etag": 'W/"v1"', "modified": DATE}


@pytest.mark.parametrize(
    ("plan", "words", "version"),
    [
        ([reply(BODY, cut=131_072), WHOLE], ["Run again to go on"], '"v1"'),
        (
            [reply(BODY, cut=131_072, **WEAK), reply(BODY, **WEAK)],
            ["was cut"],
            DATE,
        ),
        # A web page does not cost what was downloaded.
        (
            [reply(BODY, cut=131_072), reply(HTML, etag=None), WHOLE],
            ["was cut", "web page"],
            '"v1"',
        ),
        # A bad start is thrown away and fetched again.
        ([reply(OTHER, cut=131_072), WHOLE], ["was cut"], None),
    ],
    ids=["tag", "date", "web page", "bad start"],
)
def test_download_resumes_after_its_process_ended(
    tmp_path, monkeypatch, plan, words, version
):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with serve(*plan) as server:
        for word in words:
            with pytest.raises(OSError, match=word):
                get(server, tmp_path, **KNOWN)
        assert get(server, tmp_path, **KNOWN).read_bytes() == BODY
    asked = server.requests[-1][1]
    assert asked.get("If-Range") == version
    assert asked.get("Range") == ("bytes=131072-" if version else None)


def test_retry_after_is_heeded_but_not_for_ever(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    plan = [status(503, Retry_After=n) for n in (7, 86_400)] + [status(500)]
    with serve(*plan, WHOLE) as server:
        get(server, tmp_path)
    assert waits == [7, 60, 0.04]


def test_second_address_is_tried(tmp_path):
    with serve(status(404)) as bad, serve(WHOLE) as good:
        urls = [f"{bad.address}/a.zip", f"{good.address}/b.zip"]
        download.download(urls, tmp_path / "pets.zip", **KNOWN)
        with pytest.raises(OSError, match="HTTP 404"):
            download.download(urls[:1], tmp_path / "more.zip")
    assert len(bad.requests) == 2
    assert len(good.requests) == 1
    # Both are closed: nobody listens there any more.
    with pytest.raises(OSError, match="no connection") as caught:
        download.download(urls, tmp_path / "more.zip")
    assert "\n" not in str(caught.value)


def test_first_download_is_trusted_and_recorded(tmp_path):
    with serve(WHOLE, reply(OTHER)) as server:
        with pytest.warns(UserWarning, match=SHA256):
            path = get(server, tmp_path, size=len(BODY))
        path.unlink()
        with pytest.raises(OSError, match=f"instead of {SHA256}"):
            get(server, tmp_path, size=len(BODY))
    record = tmp_path / "pets.zip.sha256"
    assert record.read_text() == f"{SHA256}  pets.zip\n"


def test_file_put_by_hand_is_verified(tmp_path):
    path = tmp_path / "pets.zip"
    for wrong in (OTHER, HTML, BODY[:-1]):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="not the file expected"):
            download.download([], path, **KNOWN)
        assert path.read_bytes() == wrong
    path.write_bytes(BODY)
    assert download.download([], path, **KNOWN) == path


def test_cut_without_any_sign_is_found_when_unpacking(tmp_path):
    after_a_member = make_tar()[:50_688]
    plan = [reply(b, length=False) for b in (BODY[:99_999], after_a_member)]
    with serve(*plan) as server:
        with pytest.raises(OSError, match="neither a zip nor a tar"):
            fetch(f"{server.address}/pets.zip", tmp_path)
        with pytest.raises(ValueError, match="cut short"):
            fetch(f"{server.address}/pets.tar", tmp_path)
    assert not list(tmp_path.rglob("*.jpg"))


def make_tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("Cat/0.jpg", "Dog/1.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 50_000
            tar.addfile(info, io.BytesIO(bytes(50_000)))
    return buffer.getvalue()


# The call


def test_address_is_fetched_once(tmp_path):
    with serve(WHOLE) as server:
        url = f"{server.address}/My%20pets%21.zip?x=1"
        folder = fetch(url, tmp_path)
        assert fetch(url, tmp_path) == folder
        assert len(server.requests) == 1
    assert folder == dataset_dir(url, tmp_path) / "images"
    assert folder.parent.name.startswith("My_pets_-")
    assert len(index_images(folder)) == 6
    (folder.parent / "archive").unlink()  # to save room
    assert fetch(url, tmp_path) == folder


def test_named_datasets_come_from_the_table(tmp_path, monkeypatch):
    source = {"pets.zip": (len(BODY), SHA256)}
    with serve(status(503), WHOLE) as server:
        monkeypatch.setitem(SOURCES, "full", source)
        monkeypatch.setitem(PLACES, "full", (f"{server.address}/",))
        assert fetch("full", tmp_path) == tmp_path / "full" / "images"
        assert {path for path, _ in server.requests} == {"/pets.zip"}
    monkeypatch.setitem(SOURCES, "full", {"pets.zip": (9, "0" * 64)})
    with pytest.raises(ValueError, match="not the file expected"):
        fetch("full", tmp_path)  # what was unpacked is not the new version


def test_sample_is_drawn_once_and_anew_when_its_code_changes(
    tmp_path, monkeypatch
):
    (tmp_path / "draw.py").write_text("")
    (tmp_path / "figures.txt").write_text("first")
    drawn = []

    def draw_sample(folder):
        drawn.append(folder)
        (folder / "1.png").write_bytes(b"drawn")

    monkeypatch.setattr(draw, "draw_sample", draw_sample)
    monkeypatch.setattr("catdog_helpers.data.sources.SAMPLE", tmp_path)
    for _ in range(2):
        assert fetch("sample", tmp_path) == tmp_path / "sample/images"
        assert len(drawn) == 1
    (tmp_path / "figures.txt").write_text("second")
    with pytest.warns(UserWarning, match="set aside"):
        fetch("sample", tmp_path)
    assert len(list((tmp_path / "sample").rglob("1.png"))) == 2


def test_local_folder_is_used_in_place(tmp_path):
    pets = tmp_path / "pets"
    zipfile.ZipFile(io.BytesIO(BODY)).extractall(pets)
    before = tree(tmp_path)
    assert fetch(pets, tmp_path / "data") == pets
    assert fetch(str(pets), tmp_path / "data") == pets
    assert tree(tmp_path) == before
    assert not (tmp_path / "data").exists()


def test_local_archive_is_unpacked_elsewhere(tmp_path):
    path = tmp_path / "my pets.v2.zip"
    path.write_bytes(BODY)
    folder = fetch(path, tmp_path / "data")
    assert folder.parent.name.startswith("my_pets-")
    path.write_bytes(OTHER)
    with pytest.warns(UserWarning, match="set aside"):
        assert fetch(path, tmp_path / "data") == folder
    assert len(list((tmp_path / "data").rglob("*.jpg"))) == 12


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("labels.xlsx", BODY),  # a spreadsheet is a zip
        ("labels.tsv", b"path\tlabel\n"),
        ("cat.jpg", b"\xff\xd8\xff\xe0" + bytes(99)),
        ("pets.zip", b"Rar!\x1a\x07"),
    ],
)
def test_a_file_of_the_users_is_never_to_be_deleted(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is no zip, tar or CSV") as caught:
        fetch(path, tmp_path / "data")
    assert "save a table as CSV" in str(caught.value)
    assert "delete" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_in_an_archive_is_used(tmp_path):
    path = tmp_path / "pets.zip"
    path.write_bytes(BODY)
    with zipfile.ZipFile(path, "a") as file:
        rows = [f"Cat/{i}.jpg,a" for i in (0, 2)] + ["Dog/1.jpg,b"]
        file.writestr("Pets/labels.csv", "\n".join(["path,label", *rows]))
    found = fetch(path, tmp_path / "data")
    assert found.name == "labels.csv"
    assert sorted(index_images(found)["class"]) == ["a", "a", "b"]
    assert fetch(path, tmp_path / "data") == found


@pytest.mark.parametrize(
    "name",
    ["tiny", "no/such/folder", "http://example.org/a.zip", "file:///a.zip"],
)
def test_unknown_names_are_refused_in_one_line(tmp_path, name):
    with pytest.raises(ValueError, match="no such dataset") as caught:
        fetch(name, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in (*NAMES, name, "https://"))


def test_dataset_dirs_differ(tmp_path):
    for name in ("a/pets", "b/pets"):
        (tmp_path / name).mkdir(parents=True)
    names = [tmp_path / "a/pets", tmp_path / "b/pets", "https://x.org/pets.zip"]
    names += ["https://x.org/pets.zip?v=2", "https://x.org/..", "https://x.org"]
    folders = {dataset_dir(name, "data") for name in names}
    assert len(folders) == len(names)
    assert {folder.parent for folder in folders} == {Path("data")}
    assert dataset_dir("small") == Path("../data/small")


# Kills: a child process that has imported all forks for each one.

CHILD = """
import json, os, random, signal, sys, time, warnings
from pathlib import Path
os.environ["NO_PROXY"] = "*"
warnings.simplefilter("ignore")
sys.stderr = open(os.devnull, "w")
from catdog_helpers.data import archive
from catdog_helpers.data import download
from catdog_helpers.data import sources
from catdog_helpers.machine.files import sha256_of
download.BACKOFF = 0.01
dataset, root, how, seed = *sys.argv[1:4], int(sys.argv[4])

def watch(data, n, what):
    # Audit events are raised before a call: `what` is sent instead of the
    # n-th one that writes.
    left = [n]
    def hook(event, args):
        writes = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event.startswith(("os.", "shutil.")):
            if event in ("os.listdir", "os.scandir", "os.kill", "os.fork"):
                return
            if any(isinstance(a, (str, Path)) and data in str(a) for a in args):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), what)
    sys.addaudithook(hook)

def child(data, before=lambda: None):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        before()
        sources.fetch(dataset, data)
        code = 0
    except KeyboardInterrupt:
        code = 2
    finally:
        os._exit(code)

def tree(data):
    return {
        path.relative_to(data).as_posix(): sha256_of(path)
        for path in sorted(Path(data).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

start = time.monotonic()
assert ended(child(f"{root}/whole")) == 0
seconds = time.monotonic() - start
whole, kills, bad = tree(f"{root}/whole"), 0, []
rng = random.Random(seed)
for n in range(1, 200):
    data = f"{root}/{how}-{n}"
    if how == "time":
        pid = child(data)
        time.sleep(rng.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)
        if n == 25:
            break
    else:
        what = getattr(signal, how)
        pid = child(data, lambda: watch(data, n, what))
    code = ended(pid)
    if code == 0 and how != "time":
        break
    kills += code != 0
    if how == "SIGINT" and list(Path(data).rglob("*.tmp")):
        bad.append([n, "left", code])
    if ended(child(data)) or tree(data) != whole:
        bad.append([n, code, sorted(set(tree(data)) ^ set(whole))])
print(json.dumps([kills, bad, sorted(whole)]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("address", "SIGKILL"),
        ("address", "SIGINT"),
        ("address", "time"),
        ("zip", "SIGKILL"),
        ("tar", "SIGINT"),
    ],
)
def test_next_call_mends_a_kill_at_any_moment(tmp_path, how, source):
    root, dataset = tmp_path / "root", tmp_path / f"pets.{source}"
    with serve(reply(BODY, pause=0.01 * (how == "time"))) as server:
        if source == "address":
            dataset = f"{server.address}/pets.zip"
        else:
            dataset.write_bytes(BODY if source == "zip" else make_tar())
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(dataset), str(root), how, "7"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    kills, bad, files = json.loads(done.stdout)
    assert not bad
    assert kills >= 10
    assert sum(name.endswith(".jpg") for name in files) >= 2
    outside = {path.name for path in tmp_path.iterdir()} - {"root"}
    assert outside <= {f"pets.{source}"}
    assert {path.name.split("-")[0] for path in root.iterdir()} == {
        "whole",
        how,
    }


def test_two_processes_do_the_work_once(tmp_path):
    code = "import sys; from catdog_helpers.data.sources import fetch; "
    code += "print(fetch(sys.argv[1], sys.argv[2]))"
    with serve(reply(BODY, pause=0.05)) as server:
        command = [sys.executable, "-W", "ignore", "-c", code]
        command += [f"{server.address}/pets.zip", str(tmp_path)]
        options = {"cwd": ROOT, "stdout": -1, "stderr": -3, "text": True}
        both = [subprocess.Popen(command, **options) for _ in range(2)]
        said = {process.communicate(timeout=60)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(said) == 1
    assert len(server.requests) == 1
    assert len(list(tmp_path.rglob("*.jpg"))) == 6


# Disks


@pytest.fixture
def packed(tmp_path) -> Path:
    path = tmp_path / "pets.zip"
    path.write_bytes(BODY)
    return path


def test_full_disk_is_told_before_the_start(tmp_path, monkeypatch, packed):
    usage = shutil.disk_usage(tmp_path)
    for n_bytes in (100 * 2**20, 200 * 2**20 + len(BODY) // 2):
        small = usage._replace(free=n_bytes)
        with monkeypatch.context() as patch, serve(WHOLE) as server:
            patch.setattr(shutil, "disk_usage", lambda _, s=small: s)
            for dataset in (f"{server.address}/pets.zip", packed):
                with pytest.raises(OSError, match="too full") as caught:
                    fetch(dataset, tmp_path / "data")
                assert "\n" not in str(caught.value)
    files = {p.name for p in (tmp_path / "data").rglob("*") if p.is_file()}
    assert all(n == ".lock" or ".part" in n for n in files)
    assert len(index_images(fetch(packed, tmp_path / "data"))) == 6


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, packed):
    folder = fetch(packed, tmp_path / "data")

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("catdog_helpers.data.sources.FileLock", refuse)
    assert fetch(packed, tmp_path / "data") == folder  # nothing is written
    packed.write_bytes(OTHER)
    with pytest.raises(PermissionError, match="another data_dir") as caught:
        fetch(packed, tmp_path / "data")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda images: shutil.rmtree(images) or images.mkdir(),
        lambda images: (images / "Pets/Cat/mine too.jpg").touch(),
        lambda images: (images / "Pets/Cat/0.jpg").unlink(),
        lambda images: (images / MARKER).unlink(),
        lambda images: (images / MARKER).write_text('{"files": 6}'),
        lambda images: (images / MARKER).write_text("[]"),
    ],
)
def test_foreign_or_changed_images_are_set_aside(tmp_path, packed, change):
    """They are not trusted, and nothing of the user's is deleted."""
    images = fetch(packed, tmp_path / "data")
    (images / ".DS_Store").touch()  # systems lay such things there
    assert fetch(packed, tmp_path / "data") == images
    change(images)
    changed = {path.name for path in images.rglob("*.jpg")}
    with pytest.warns(UserWarning, match="set aside"):
        fetch(packed, tmp_path / "data")
    assert len(index_images(images)) == 6
    aside = next(images.parent.glob("images-*"))
    assert {path.name for path in aside.rglob("*.jpg")} == changed


# The real archives


@pytest.mark.parametrize(
    ("name", "n_images", "n_classes", "splits"),
    [
        ("petimages_200px.zip", 13_014, 2, {""}),
        ("cats_and_dogs_filtered_small.zip", 600, 2, {"train", "validation"}),
        ("oxford_pets_layout", 397, 17, {"train", "test"}),
    ],
)
def test_real_archives(tmp_path, shared, name, n_images, n_classes, splits):
    folder = fetch(shared / "data" / name, tmp_path)
    table = index_images(folder)
    assert len(table) == n_images
    assert table["class"].nunique() == n_classes
    assert set(table.split) == splits
    assert fetch(shared / "data" / name, tmp_path) == folder
