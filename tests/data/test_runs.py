"""A run's data: written once, checked when it is loaded, never mixed up."""

import json
import re
import shutil

import pandas as pd
import pytest
from PIL import Image

from catdog_helpers.data.prepared import prepare
from catdog_helpers.data.runs import load_run, save_split
from catdog_helpers.data.splits import SPLITS, split, split_sha256


def test_what_is_saved_is_loaded(run_dir):
    run = load_run(run_dir)
    images, manifest, info = run.images, run.manifest, run.info
    assert images.shape == (40, 16, 16, 3)
    assert info["class_names"] == ["cat", "dog"]
    assert [info[f"n_{part}"] for part in SPLITS] == [24, 8, 8]
    assert info["split_sha256"] == split_sha256(manifest)
    assert info == json.loads((run_dir / "dataset.json").read_text("utf-8"))
    assert (manifest.label == (manifest["class"] == "dog")).all()
    names = {"dataset": "tiny", "folder": info["folder"]}
    save_split(run_dir / "again", images, manifest, **names, seed=0)
    later = load_run(run_dir / "again")
    pd.testing.assert_frame_equal(manifest, later.manifest)
    assert later.info == info


def test_a_missing_split_names_the_notebook(run_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match="run notebook 01_download"):
        load_run(tmp_path / "nothing")
    load_run(run_dir)
    (tmp_path / "data" / "prepared_16px" / "images.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"images.npy is missing or"):
        load_run(run_dir)


@pytest.mark.parametrize("change", ["side", "class", "lost row", "order"])
def test_a_tampered_manifest_is_refused(run_dir, change):
    path = run_dir / "manifest.csv"
    head, *lines = path.read_text("utf-8").splitlines()
    if change == "side":
        lines[0] = re.sub("(train|validation|test|)$", "moved", lines[0])
    elif change == "class":
        lines[0] = lines[0].replace(",cat,", ",dog,")
    elif change == "lost row":
        lines.pop()
    else:
        lines.reverse()
    path.write_text("\n".join([head, *lines]) + "\n", "utf-8")
    with pytest.raises(ValueError, match="do not belong together: run note"):
        load_run(run_dir)


def test_images_prepared_anew_from_other_files_are_refused(run_dir, tmp_path):
    """As many images as before, but no longer those of the manifest."""
    image = tmp_path / "photos" / "cat" / "003.png"
    Image.new("RGB", (9, 9), "red").save(image)
    prepare(tmp_path / "photos", tmp_path / "data", 16)
    with pytest.raises(ValueError, match="do not belong together"):
        load_run(run_dir)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("class_names", "cat", "class_names = 'cat'"),
        ("class_names", ["cat"], "class_names = "),
        ("class_names", ["cat", 7], "class_names = "),
        ("image_size", -16, "image_size = -16"),
        ("image_size", "16", "image_size = '16'"),
        ("n_test", True, "n_test = True"),
        ("split_sha256", None, "split_sha256 = None"),
        ("images", ["x"], "images = "),
    ],
)
def test_a_damaged_record_is_refused_in_one_line(run_dir, key, value, words):
    path = run_dir / "dataset.json"
    info = json.loads(path.read_text("utf-8")) | {key: value}
    path.write_text(json.dumps(info), "utf-8")
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        load_run(run_dir)
    assert "\n" not in str(caught.value)
    assert "run notebook 01_download_data" in str(caught.value)


@pytest.mark.parametrize("harm", ["column", "text", "binary", "images", "key"])
def test_damaged_files_are_refused_in_one_line(run_dir, tmp_path, harm):
    table, prepared = run_dir / "manifest.csv", tmp_path / "data/prepared_16px"
    if harm == "column":
        table.write_text(table.read_text("utf-8").replace(",group", ",gruppe"))
    elif harm == "text":
        table.write_text(re.sub(",[01],", ",x,", table.read_text("utf-8")))
    elif harm == "binary":
        table.write_bytes(bytes(range(256)) * 9)
    elif harm == "images":
        (prepared / "images.npy").write_bytes(b"no array")
    else:
        (prepared / "images.json").write_text("{}")
    with pytest.raises(ValueError, match="run notebook 01_download") as caught:
        load_run(run_dir)
    assert "\n" not in str(caught.value)


def test_a_run_is_not_overwritten_by_another_data_set(
    run_dir, tmp_path, photographs
):
    def save(folder):
        images, manifest = prepare(folder, tmp_path / "more", 16, workers=1)
        made = split(manifest)
        save_split(
            run_dir, images, made, dataset="photos", folder=folder, seed=0
        )

    other = photographs(
        tmp_path / "b" / "photos", {"cat": 9, "dog": 9}, side=17
    )
    before = (run_dir / "dataset.json").read_bytes()
    with pytest.raises(ValueError, match="run of another data set") as caught:
        save(other)
    assert f"Received: {other}. Choose another OUT" in str(caught.value)
    assert (run_dir / "dataset.json").read_bytes() == before
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "photos", moved)
    save(moved)  # the same pictures in another place
    assert load_run(run_dir).info["folder"] == str(moved)
