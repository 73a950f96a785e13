"""The default settings of each data set."""

from pathlib import Path

import pytest

import catdog_helpers as ch
from catdog_helpers.bases import BASES
from catdog_helpers.data.defaults import run_dir
from catdog_helpers.data.sources import NAMES


def test_the_sample_is_a_matter_of_one_setting():
    chosen = ch.settings("sample")
    assert chosen.out == Path("../runs/sample")
    assert chosen.base == "sample"
    assert chosen.image_size == BASES["sample"].image_size
    assert (chosen.train, chosen.validation, chosen.test) == (300, 100, 600)


@pytest.mark.parametrize("dataset", NAMES)
def test_every_dataset_has_a_base_and_its_size(dataset):
    chosen = ch.settings(dataset)
    assert chosen.base in BASES
    assert chosen.image_size == BASES[chosen.base].image_size


def test_what_is_given_wins_and_none_stands_for_the_default():
    chosen = ch.settings("sample", base="MobileNetV2", test=9, train=None)
    assert (chosen.base, chosen.test, chosen.train) == ("MobileNetV2", 9, 300)
    # In the notebooks the first one makes the run, whatever base comes later.
    assert chosen.out == Path("../runs/sample")
    assert ch.settings("small", image_size=64, out="x")[:3] == (
        Path("x"),
        "VGG16",
        64,
    )
    with pytest.raises(TypeError, match="trian"):
        ch.settings("small", trian=3)
    with pytest.raises(ValueError, match="no such dataset"):
        ch.settings("smal")


def test_folders_of_the_same_name_do_not_share_a_run(tmp_path):
    folders = [tmp_path / "a" / "train", tmp_path / "b" / "train"]
    for folder in folders:
        folder.mkdir(parents=True)
    names = [run_dir(folder).name for folder in folders]
    assert names[0] != names[1]
    assert all(name.startswith("train-") for name in names)
    assert run_dir(folders[0], "VGG16").name == names[0]


def test_a_run_is_named_after_an_unusual_base():
    assert run_dir("small", "VGG16", runs="r") == Path("r/small")
    assert run_dir("small", "MobileNetV2").name == "small-MobileNetV2"
    assert run_dir("sample", "my bases/own v2.keras").name == "sample-own-v2"
    assert run_dir("sample", "….keras").name == "sample-base"
