"""Unpacking: hostile, damaged and odd archives."""

import io
import json
import random
import stat
import tarfile
import warnings
import zipfile

import pytest

from catdog_helpers.data import archive
from catdog_helpers.data.archive import MARKER, is_complete, unpack
from catdog_helpers.machine.files import sha256_of

KINDS = ["zip", "tar", "tar.gz", "tar.xz"]


def write_archive(path, members):
    """Write a zip or tar by the name of `path`: bytes by name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members.items():
                file.writestr(name, data)
    else:
        mode = {".tar": "w", ".gz": "w:gz", ".xz": "w:xz"}[path.suffix]
        with tarfile.open(path, mode) as tar:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def unpacked(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    }


@pytest.mark.parametrize("kind", KINDS)
def test_images_and_documents_come_whole(tmp_path, kind):
    kept = {
        "Pets/Katze/Mieze auf dem Sofa.jpg": b"a" * 70_000,
        "Pets/Собака/ñandú 犬.JPEG": b"b",
        "Pets/Cat/empty.jpg": b"",
        "Pets/Cat/photo.heic": b"c",
        "Pets/Cat/x.tif": b"d",
        "Pets/Cat/deep/er/x.webp": b"e",
        "readme[1].txt": b"f",
        "CDLA-Permissive-2.0.pdf": b"g",
        "LICENSE": b"h",
        "annotations/trainval.txt": b"i",
    }
    dropped = {
        "__MACOSX/Pets/Cat/._x.jpg": b"",
        "Pets/Cat/.hidden.jpg": b"",
        ".git/x.jpg": b"",
        "Pets/Cat/Thumbs.db": b"",
        "Pets/run.sh": b"",
        "Pets/model.h5": b"",
        "Pets/page.html": b"",
        "Pets/Abyssinian_100.mat": b"",
    }
    path = write_archive(tmp_path / f"pets.{kind}", kept | dropped)
    folder = unpack([path], tmp_path / "images")
    assert unpacked(folder) == kept
    marker = json.loads((folder / MARKER).read_text())
    assert marker == {
        "made_from": {path.name: sha256_of(path)},
        "files": len(kept),
        "bytes": sum(map(len, kept.values())),
    }
    assert is_complete(folder)
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "images"}


def test_tar_named_gz_and_two_archives(tmp_path):
    one = write_archive(tmp_path / "images.tar", {"images/a_1.jpg": b"1"})
    one = one.rename(tmp_path / "images.tar.gz")
    two = write_archive(tmp_path / "b.zip", {"annotations/list.txt": b"2"})
    folder = unpack([one, two], tmp_path / "images")
    assert set(unpacked(folder)) == {"images/a_1.jpg", "annotations/list.txt"}


def test_leading_dot_and_backslash_are_understood(tmp_path):
    members = {"./Cat/1.jpg": b"1", "Dog\\2.jpg": b"2"}
    path = write_archive(tmp_path / "pets.tar", members)
    folder = unpack([path], tmp_path / "images")
    assert set(unpacked(folder)) == {"Cat/1.jpg", "Dog/2.jpg"}


def test_name_that_is_not_unicode_gets_escapes(tmp_path):
    path = tmp_path / "old.tar"
    old = {"format": tarfile.GNU_FORMAT, "encoding": "latin-1"}
    with tarfile.open(path, "w", **old) as tar:
        tar.addfile(tarfile.TarInfo("Kätzchen/1.jpg"), io.BytesIO())
    folder = unpack([path], tmp_path / "images")
    assert set(unpacked(folder)) == {"K\\xe4tzchen/1.jpg"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    "name",
    [
        "../evil.jpg",
        "Cat/../../evil.jpg",
        "/evil.jpg",
        "..\\evil.jpg",
        "C:\\evil.jpg",
        "C:evil.jpg",
        "\\\\host\\share\\evil.jpg",
    ],
)
def test_paths_that_lead_outside_are_refused(tmp_path, kind, name):
    members = {"Cat/1.jpg": b"1", name: b"evil"}
    path = write_archive(tmp_path / f"pets.{kind}", members)
    target = tmp_path / "deep" / "er" / "images"
    with pytest.raises(ValueError, match="outside of its folder") as caught:
        unpack([path], target)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [path.name]


def test_links_and_devices_are_left_out(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    path = tmp_path / "pets.tar"
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
    with tarfile.open(path, "w") as tar:
        for i, kind in enumerate([*kinds, tarfile.CHRTYPE, tarfile.DIRTYPE]):
            info = tarfile.TarInfo(f"Cat/{i}.jpg")
            info.type, info.linkname = kind, "../../secret.jpg"
            tar.addfile(info)
        link = tarfile.TarInfo("Dog")  # and then a file through it
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("Dog/1.jpg"))
    assert unpacked(unpack([path], tmp_path / "images")) == {"Dog/1.jpg": b""}
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as file:
        info = zipfile.ZipInfo("Cat/1.jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "../../secret.jpg")
        file.writestr("Dog/2.jpg", b"2")
    assert unpacked(unpack([path], tmp_path / "more")) == {"Dog/2.jpg": b"2"}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bombs_are_refused(tmp_path, kind, monkeypatch):
    one = {"Cat/1.jpg": bytes(80 * 2**20)}  # 1,000 times its packed size
    path = write_archive(tmp_path / f"bomb.{kind}", one)
    with pytest.raises(ValueError, match="more than any archive"):
        unpack([path], tmp_path / "images")
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    many = {f"Cat/{i}.jpg": b"" for i in range(4)}
    path = write_archive(tmp_path / f"many.{kind}", many)
    with pytest.raises(ValueError, match="more than any archive"):
        unpack([path], tmp_path / "images")
    monkeypatch.setattr(archive, "MAX_BYTES", 99)
    path = write_archive(tmp_path / f"big.{kind}", {"Cat/1.jpg": bytes(100)})
    with pytest.raises(ValueError, match="more than any archive"):
        unpack([path], tmp_path / "images")
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_damage_is_an_error_of_one_line_or_harmless(tmp_path, kind, seed):
    """Cut, overwritten or lengthened: refused whole, or unpacked whole.

    A tar has no checksum of contents: bytes that change inside a file there
    are found by the SHA-256 of the archive only.
    """
    rng = random.Random(seed)
    members = {f"Cat/{i}.jpg": rng.randbytes(3000) for i in range(9)}
    path = write_archive(tmp_path / f"pets.{kind}", members)
    data = bytearray(path.read_bytes())
    if seed % 3 == 0:
        del data[rng.randrange(1, len(data)) :]
    elif seed % 3 == 1:
        at = rng.randrange(len(data))
        data[at : at + 8] = rng.randbytes(8)
    else:
        at = rng.randrange(len(data))
        data[at:at] = rng.randbytes(600)
    path.write_bytes(data)
    folder = tmp_path / "images"
    try:
        unpack([path], folder)
    except (ValueError, OSError) as error:
        lines = str(error).splitlines()
        assert len(lines) == 1
        assert str(path) in lines[0]
        assert not folder.exists()
    else:
        found = unpacked(folder)
        assert len(found) in (8, 9)  # a name may be changed to another kind
        if kind != "tar":
            assert set(found.values()) <= set(members.values())
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("data", [b"", b"<html>", b"Rar!\x1a\x07", b"PK\x03"])
def test_what_is_no_archive(tmp_path, data):
    path = tmp_path / "pets.zip"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="Cannot unpack this file"):
        unpack([path], tmp_path / "images")


def test_encrypted_zip(tmp_path):
    path = write_archive(tmp_path / "pets.zip", {"Cat/1.jpg": b"1"})
    data = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="encrypted"):
        unpack([path], tmp_path / "images")


def test_same_name_twice(tmp_path):
    path = tmp_path / "pets.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
        warnings.simplefilter("ignore")
        file.writestr("Cat/1.jpg", b"1")
        file.writestr("Cat/1.jpg", b"2")
    with pytest.raises(ValueError, match="exists: Cat/1.jpg.* unpack it"):
        unpack([path], tmp_path / "images")
    assert not (tmp_path / "images").exists()


def test_second_call_does_nothing(tmp_path):
    path = write_archive(tmp_path / "pets.zip", {"Cat/1.jpg": b"1"})
    folder = unpack([path], tmp_path / "images")
    before = (folder / "Cat/1.jpg").stat().st_mtime_ns
    (folder / ".DS_Store").write_bytes(b"")  # systems lay such things there
    (folder / "Cat/Thumbs.db").write_bytes(b"")
    unpack([path], folder)
    assert (folder / "Cat/1.jpg").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"files": 1, "bytes": 1}']
)
def test_marker_that_is_not_ours_is_not_trusted(tmp_path, text):
    path = write_archive(tmp_path / "pets.zip", {"Cat/1.jpg": b"1"})
    folder = unpack([path], tmp_path / "images")
    (folder / MARKER).write_text(text)
    assert not is_complete(folder)
    with pytest.warns(UserWarning, match="set aside"):
        unpack([path], folder)
    assert is_complete(folder)


def raw_zip(path, names: list[bytes]):
    """Write a zip whose names lack the sign that they are UTF-8."""
    with zipfile.ZipFile(path, "w") as file:
        for i in range(len(names)):
            file.writestr("#" * len(names[i]), bytes([i]))
    data = path.read_bytes()
    for name in names:
        data = data.replace(b"#" * len(name), name)
    path.write_bytes(data)
    return path


def test_names_of_a_zip_without_the_sign_for_utf8(tmp_path):
    path = raw_zip(tmp_path / "mac.zip", ["Kätzchen/1.jpg".encode()])
    folder = unpack([path], tmp_path / "mac")
    assert set(unpacked(folder)) == {"Kätzchen/1.jpg"}
    path = raw_zip(tmp_path / "dos.zip", [b"K\x84tzchen/1.jpg"])
    with pytest.warns(UserWarning, match="old code page, read as cp437"):
        folder = unpack([path], tmp_path / "dos")
    assert set(unpacked(folder)) == {"Kätzchen/1.jpg"}


def test_long_names_are_shortened(tmp_path):
    names = [f"Cat/{'кот' * 50}{i}.jpg" for i in range(2)]
    path = write_archive(tmp_path / "long.zip", dict.fromkeys(names, b"1"))
    found = set(unpacked(unpack([path], tmp_path / "images")))
    assert len(found) == 2
    assert all(name.endswith(".jpg") for name in found)


def test_images_are_known_by_their_first_bytes(tmp_path):
    jpeg = b"\xff\xd8\xff\xe0" + bytes(99)
    members = {"Cat/1": jpeg, "Cat/2.jpg_large": jpeg, "Cat/3.exe": b"MZ"}
    path = write_archive(tmp_path / "web.zip", members)
    folder = unpack([path], tmp_path / "images")
    assert set(unpacked(folder)) == {"Cat/1", "Cat/2.jpg_large"}
    assert is_complete(folder)


@pytest.mark.parametrize("members", [{"train.zip": b"PK\3\4"}, {"a.py": b""}])
def test_an_archive_without_images_says_so(tmp_path, members):
    path = write_archive(tmp_path / "kaggle.zip", members)
    with pytest.raises(ValueError, match="train.zip|no images"):
        unpack([path], tmp_path / "images")


def tar_of(path, *infos, tail=0):
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for info in infos:
            tar.addfile(info, io.BytesIO(bytes(info.size)))
        tar.fileobj.write(bytes(tail))
    return path


def test_a_tar_may_not_need_more_than_it_is(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 90 * 2**20
    for path in (
        tar_of(tmp_path / "header.tar.gz", header),
        tar_of(tmp_path / "tail.tar.gz", tail=200 * 2**20),
    ):
        with pytest.raises(ValueError, match=r"Cannot unpack this file"):
            unpack([path], tmp_path / "images")
