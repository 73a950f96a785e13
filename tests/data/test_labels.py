"""A CSV of path,label is as good as folders; what is wrong in it is named."""

import os
import shutil
import unicodedata

import numpy as np
import pytest

from catdog_helpers.data.layout import index_images
from catdog_helpers.data.manifest import has_other_label
from catdog_helpers.data.prepared import prepare
from catdog_helpers.data.sources import dataset_dir, fetch
from catdog_helpers.data.splits import split


@pytest.fixture
def listed(tmp_path, photographs):
    """Function that writes a CSV beside 12 pictures, and returns its path."""
    photographs(tmp_path / "deep/pictures", {"x": 12}, side=16)

    def write(text, encoding="utf-8"):
        path = tmp_path / "deep" / "my labels.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def lines(n=12, separator=","):
    rows = [f"pictures/x/{i:03d}.png" for i in range(n)]
    labels = ["mon chat", "犬"] * n
    pairs = zip(rows, labels, strict=False)
    return "\n".join(separator.join(pair) for pair in pairs) + "\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path,label\n" + lines(), "utf-8"),
        ("Path;Label\n" + lines(separator=";"), "utf-8-sig"),
        ("path,label\r\n" + lines().replace("\n", "\r\n"), "utf-8"),
        ("path, label\n\n" + lines(separator=", "), "utf-8"),
        ("path,label\n" + lines() + lines(3), "utf-8"),  # lines twice
        ("path\tlabel\n" + lines(separator="\t"), "utf-16"),  # Excel's text
        ("sep=;\npath;label\n" + lines(separator=";"), "utf-8-sig"),
        ("path,label,\n" + lines().replace("\n", ",\n") + ",,\n ,\n", "utf-8"),
        ("path,label\n" + lines().replace("/", "\\"), "utf-8"),
        ("path,label\n" + lines().replace("mon chat", '"mon chat"'), "utf-8"),
    ],
)
def test_a_list_takes_the_same_calls_as_a_folder(
    listed, tmp_path, text, encoding
):
    path = listed(text, encoding)
    folder = fetch(path, tmp_path / "data")
    table = index_images(folder)
    assert list(table.columns) == ["path", "class", "split"]
    assert len(table) == 12
    assert set(table["class"]) == {"mon chat", "犬"}
    images, manifest = prepare(folder, dataset_dir(path, tmp_path / "data"), 16)
    assert (manifest.status == "ok").all()
    assert all((folder / p).is_file() for p in manifest.path)
    assert set(split(manifest).split) == {"train", "validation", "test"}
    assert images.shape == (12, 16, 16, 3)


def test_other_columns_and_absolute_paths_are_fine(listed, tmp_path):
    full = tmp_path / "deep/pictures/x/000.png"
    rest = "".join(f"pictures/x/{i:03d}.png,b,7\n" for i in range(1, 4))
    table = index_images(listed(f"path,label,age\n{full},a,3\n{rest}"))
    assert table.path[0] == full.as_posix()
    assert table["class"].tolist() == ["a", "b", "b", "b"]


def test_two_labels_contradict_and_a_changed_list_is_prepared_anew(
    listed, tmp_path
):
    path = listed("path,label\n" + lines() + "pictures/x/000.png,犬\n")
    _, manifest = prepare(path, tmp_path / "data", 16)
    assert has_other_label(manifest).sum() == 2
    path = listed("path,label\n" + lines().replace("mon chat", "kot"))
    _, manifest = prepare(path, tmp_path / "data", 16)
    assert set(manifest["class"]) == {"kot", "犬"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no CSV"),
        ("path,label\npictures/x/000.png,Bär\n", "is no CSV in UTF-8"),
        ("file,class\na.png,cat\n", "has the columns file, class"),
        (
            "path,label\n" + lines() + "gone.png,犬\n",
            "1 lines .* 'gone.png, 犬'",
        ),
        ("path,label\npictures/x/000.png,\n", "1 lines without a file or a"),
        ("path,label\n,cat\n", "1 lines without"),
        ("path,label\npictures/x/000.png,cat\n", "only one class, 'cat'"),
        ("path,label\n", "no images"),
        ('path,label\n"a.png,cat\n', "is no CSV"),
        ("path,label\na.png,cat,dog\nb.png,1,2,3,4\n", "2 lines without"),
        ("path,label\npictures/x/000.png,cat,dog\n", "with more cells"),
        (
            "Label,path,LABEL\ncat,a.png,cat\n",
            "has the columns label, path, label",
        ),
        ("path,label,Label\n", "the columns path, label, label"),
        ("path,label\na\0.png,cat\n", "holds NUL characters"),
        (
            "path,label\n" + lines() + "pictures/x/000.png,Mon Chat\n",
            "differ in",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(listed, text, words):
    path = listed(text, "latin-1" if "Bär" in text else "utf-8")
    with pytest.raises(ValueError, match=words) as caught:
        index_images(path)
    message = str(caught.value)
    assert "\n" not in message
    assert f"Received: {path}" in message


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_composed_and_decomposed_names_are_the_same(listed, tmp_path, forms):
    on_disk, in_list = (unicodedata.normalize(f, "é") for f in forms)
    path = listed(f"path,label\n{in_list}.png,{in_list}\n{in_list}2.png,b\n")
    for name in (on_disk, on_disk + "2"):
        (path.parent / f"{name}.png").touch()
    table = index_images(path)
    assert set(table["class"]) == {"é", "b"}
    assert all(map(os.path.isfile, table.path))


def test_a_missing_list_is_no_data_set(tmp_path):
    with pytest.raises(ValueError, match=r"no such dataset.* CSV"):
        fetch(tmp_path / "no.csv", tmp_path / "data")


def test_the_list_wins_over_where_the_files_lie(listed, tmp_path):
    shutil.copytree(tmp_path / "deep/pictures/x", tmp_path / "deep/pictures/y")
    table = index_images(listed("path,label\n" + lines()))
    assert not table.path.str.contains("/y/").any()
    assert np.unique(table["class"]).size == 2
