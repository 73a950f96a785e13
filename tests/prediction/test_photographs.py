"""Where photographs come from: nothing is lost, nothing is unpacked."""

import io
import os
import stat
import zipfile

import numpy as np
import pytest
from PIL import Image

from catdog_helpers.prediction import photographs as module
from catdog_helpers.prediction.photographs import find_photographs


def paths(*sources, **options) -> list[str]:
    return [p.path for p in find_photographs(sources, **options)]


def png(shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), shade).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a/2.jpg", "a/1.JPG", "a/x/3.webp", "c/4.jpg_large"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(png())
    (tmp_path / ".thumbnails").mkdir()
    for name in ("a/notes.txt", ".h.png", ".thumbnails/1.png", "a/Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_a_folder_is_searched_in_order(folder):
    names = ["a/1.JPG", "a/2.jpg", "a/x/3.webp", "b.png", "c/4.jpg_large"]
    assert paths(folder) == [f"{folder}/{name}" for name in names]
    assert paths(f"{folder}/a/x/") == [f"{folder}/a/x/3.webp"]


def test_patterns(folder):
    assert paths(f"{folder}/*.png") == [f"{folder}/b.png"]
    assert paths(f"{folder}/**/*.jpg") == [f"{folder}/a/2.jpg"]
    everything = paths(f"{folder}/**")
    assert len(everything) == len(set(everything)) == 7  # notes.txt, Thumbs.db
    assert paths(f"{folder}/[ac]") == paths(f"{folder}/a", f"{folder}/c")
    odd = folder / "what[1].png"
    odd.write_bytes(png())
    assert paths(odd) == [str(odd)]


def test_a_folder_that_links_to_itself_ends(folder):
    (folder / "a" / "loop").symlink_to(folder)
    assert len(paths(folder)) == 5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.png", "no such file"),
        ("*.gif", "no such file"),
        ("https://example.com/a.jpg", "download the photograph first"),
        ("pipe.png", "not a regular file"),
        ("short.zip", "no readable zip"),
    ],
)
def test_what_cannot_be_read_comes_and_says_why(folder, name, reason):
    os.mkfifo(folder / "pipe.png")
    whole = make_zip(folder / "whole.zip", {"1.png": png()}).read_bytes()
    source = str(folder / name) if "://" not in name else name
    if name == "short.zip":
        source = (name, whole[:-30])
    (found,) = find_photographs([source])
    assert found.path in (source, name)
    with pytest.raises(ValueError, match=reason):
        found.read()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_locked_folder_is_a_line(folder):
    (folder / "c").chmod(0)
    (found,) = (p for p in find_photographs(folder) if p.path.endswith("c"))
    with pytest.raises(ValueError, match="Permission denied"):
        found.read()


def make_zip(target, members: dict[str, bytes]):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target


def test_members_of_a_zip_are_read_where_they_are(tmp_path):
    members = {"cat/1.png": png(1), "../../2.png": png(2), "notes.txt": b"x"}
    members |= {"__MACOSX/cat/._1.png": b"x", "dog/": b"", "in.zip": b"PK\3\4"}
    file = make_zip(tmp_path / "p.zip", members)
    with zipfile.ZipFile(file, "a") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    for source in (file, ("p.zip", file.read_bytes()), file.read_bytes()):
        found = list(find_photographs([source]))
        assert found[-1].path.endswith("/../../2.png")
        assert [p.read() for p in found] == [png(1), png(2)]
    assert found[0].path == "photograph 1/cat/1.png"
    assert [p.name for p in tmp_path.iterdir()] == ["p.zip"]


def test_bombs_and_broken_members_are_refused_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 50_000_000)
    file = tmp_path / "p.zip"
    members = {"bomb.png": bytes(40_000_000), "huge.png": bytes(60_000_000)}
    members |= {"damaged.png": png(3) * 50, "good.png": png(4)}
    make_zip(file, members)
    data = bytearray(file.read_bytes())
    data[data.index(b"damaged.png") + 20] ^= 255
    file.write_bytes(data)
    found = {p.path.split("/")[-1]: p for p in find_photographs(file)}
    assert found["good.png"].read() == png(4)
    for name in ("bomb.png", "huge.png"):
        with pytest.raises(ValueError, match="too large"):
            found[name].read()
    with pytest.raises(ValueError, match="damaged in its zip"):
        found["damaged.png"].read()


def test_what_upload_buttons_give():
    """Of ipywidgets 8, of ipywidgets 7, and of Colab itself."""
    eight = ({"name": "a.png", "content": memoryview(png()), "size": 9},)
    seven = {"a.png": {"metadata": {"name": "a.png"}, "content": png()}}
    for value in (eight, seven, {"a.png": png()}):
        (found,) = find_photographs(value)
        assert (found.path, found.read()) == ("a.png", png())
    assert list(find_photographs(())) == list(find_photographs({})) == []


def test_open_files_and_arrays_are_one_photograph_each(tmp_path):
    (tmp_path / "a.png").write_bytes(png(7))
    with (tmp_path / "a.png").open("rb") as file:
        for source in (file, [io.BytesIO(png(7))], bytearray(png(7))):
            (found,) = find_photographs(source)
            assert found.read() == png(7)
    pixels = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    (one,) = find_photographs(pixels[0])
    assert np.array_equal(one.read(), pixels[0])
    assert [p.path for p in find_photographs(pixels)] == [
        "photograph 1",
        "photograph 2",
    ]
    with (tmp_path / "a.png").open("rb") as file:
        assert paths(file) == [str(tmp_path / "a.png")]
    assert paths(("up.png", png())) == ["up.png"]
    # Names that no table can hold get escapes.
    assert paths(("a\udce9\ud800.png", png())) == ["a\\udce9\\ud800.png"]


@pytest.mark.parametrize(
    "source",
    [
        None,
        7,
        [None],
        io.StringIO("text"),
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        [np.zeros((4, 4, 3), np.float32)],
        ("a.png", "b.png", 3),
        np.zeros((), np.uint8),
    ],
)
def test_what_is_no_photograph_is_refused_in_one_line(source):
    with pytest.raises(TypeError, match=r"must be .*Received: ") as caught:
        list(find_photographs(source))
    assert "\n" not in str(caught.value)


def test_the_folder_that_is_copied_to_is_not_searched(folder):
    inside = folder / "a" / "x"
    expected = [p for p in paths(folder) if "/x/" not in p]
    assert paths(folder, skip=inside) == expected
    for source in (folder, folder / "a", folder / "c"):
        (found,) = find_photographs(source, skip=folder)
        assert found.path == str(source)
        with pytest.raises(ValueError, match="copied to this folder"):
            found.read()
    assert paths(folder, skip=folder / "none") == paths(folder)
