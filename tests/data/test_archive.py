"""Unpacking: hostile, damaged and odd archives."""

import io
import random
import re
import stat
import tarfile
import zipfile

import pytest

from catdog_helpers.data import archive

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


def unpack(path, folder=None):
    """Extract an archive into a new folder; return the bytes by name."""
    folder = folder or path.with_suffix(".d")
    folder.mkdir(parents=True)
    archive.extract(path, folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
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
    assert unpack(path) == kept


JPEG = b"\xff\xd8\xff\xe0" + bytes(99)
LONG = [f"Cat/{'кот' * 50}{i}.jpg" for i in range(2)]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (["./Cat/1.jpg", "Dog\\2.jpg"], ["Cat/1.jpg", "Dog/2.jpg"]),
        (["Cat/1", "Cat/2.jpg_large"], ["Cat/1", "Cat/2.jpg_large"]),
        (["K\udce4tzchen/1.jpg"], ["K\\xe4tzchen/1.jpg"]),  # Latin-1
        (LONG, ["Cat/" + "кот" * 13 + "к-.{12}.jpg"] * 2),
    ],
)
def test_odd_names_are_understood(tmp_path, members, expected):
    path = tmp_path / "pets.tar.gz"
    write_archive(path, dict.fromkeys(members, JPEG))
    found = sorted(unpack(path.rename(tmp_path / "pets.zip")))
    assert len(found) == len(expected)
    for name, pattern in zip(found, expected, strict=True):
        assert name == pattern or re.fullmatch(pattern, name)


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
    with pytest.raises(ValueError, match="outside of its folder") as caught:
        unpack(path, tmp_path / "deep" / "er" / "images")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*evil*"))


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
    assert unpack(path) == {"Dog/1.jpg": b""}
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as file:
        info = zipfile.ZipInfo("Cat/1.jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "../../secret.jpg")
        file.writestr("Dog/2.jpg", b"2")
    assert unpack(path, tmp_path / "more") == {"Dog/2.jpg": b"2"}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize(
    ("cap", "most", "members"),
    [
        ("MAX_FILES", 3, {f"Cat/{i}.jpg": b"" for i in range(4)}),
        ("MAX_BYTES", 99, {"Cat/1.jpg": bytes(100)}),
        ("MAX_RATIO", 100, {"Cat/1.jpg": bytes(80 * 2**20)}),
    ],
)
def test_bombs_are_refused(tmp_path, monkeypatch, kind, cap, most, members):
    monkeypatch.setattr(archive, cap, most)
    path = write_archive(tmp_path / f"bomb.{kind}", members)
    with pytest.raises(ValueError, match="more than any archive"):
        unpack(path)


@pytest.mark.parametrize(("header", "tail"), [(90, 0), (0, 200)])
def test_a_tar_may_not_need_more_than_it_is(tmp_path, header, tail):
    path = tmp_path / "bomb.tar.gz"
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, header * 2**20
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        if header:
            tar.addfile(info, io.BytesIO(bytes(info.size)))
        tar.fileobj.write(bytes(tail * 2**20))
    with pytest.raises(ValueError, match="Cannot unpack this file"):
        unpack(path)


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
    try:
        found = unpack(path)
    except (ValueError, OSError) as error:
        found, line = None, str(error)
    if found is None:
        assert "\n" not in line
        assert str(path) in line
        return
    assert len(found) in (8, 9)  # a name may be changed to another kind
    if kind != "tar":
        assert set(found.values()) <= set(members.values())


@pytest.mark.parametrize("data", [b"", b"<html>", b"Rar!\x1a\x07", b"PK\x03"])
def test_what_is_no_archive(tmp_path, data):
    path = tmp_path / "pets.zip"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="Cannot unpack this file"):
        unpack(path)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"train.zip": b"PK\3\4"},
            "no images, but archives, such as train.zip",
        ),
        ({"a.py": b""}, "no images"),
    ],
)
def test_an_archive_without_images_says_so(tmp_path, members, words):
    with pytest.raises(ValueError, match=words):
        unpack(write_archive(tmp_path / "kaggle.zip", members))


def test_an_encrypted_zip_and_the_same_name_twice(tmp_path):
    path = write_archive(tmp_path / "pets.zip", {"Cat/1.jpg": b"1"})
    data = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    with pytest.warns(match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr("Cat/1.jpg", b"2")
    with pytest.raises(ValueError, match="exists: Cat/1.jpg.* unpack it"):
        unpack(path)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="encrypted"):
        unpack(path, tmp_path / "more")


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
    assert set(unpack(path)) == {"Kätzchen/1.jpg"}
    path = raw_zip(tmp_path / "dos.zip", [b"K\x84tzchen/1.jpg"])
    with pytest.warns(UserWarning, match="old code page, read as cp437"):
        assert set(unpack(path)) == {"Kätzchen/1.jpg"}
