"""The layouts that are understood, and the advice where one is not."""

import os

import pandas as pd
import pytest

from catdog_helpers.data.layout import index_images


def lay(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")
    return folder


def rows(folder):
    return [tuple(row) for row in index_images(folder).itertuples(index=False)]


PETS = ("Cat/1.jpg", "Cat/2.jpg", "Dog/1.jpg", "Dog/3.jpg")


@pytest.mark.parametrize("wrap", ["", "PetImages", "a b/c/PetImages", "train"])
def test_one_folder_a_class_in_any_wrapping(tmp_path, wrap):
    lay(tmp_path / wrap, *PETS)
    lay(tmp_path, "readme[1].txt", "LICENSE", "x/notes.md")
    prefix = f"{wrap}/" if wrap else ""
    expected = [(prefix + p, p.partition("/")[0], "") for p in PETS]
    assert rows(tmp_path) == expected
    table = index_images(str(tmp_path))
    assert list(table.columns) == ["path", "class", "split"]
    assert isinstance(table, pd.DataFrame)


def test_clutter_is_left_out_and_odd_names_are_kept(tmp_path):
    odd = ("Cat/ä b.JPG", "Cat/犬.HEIC", "Dog/x.tiff", "Dog/y.avif")
    more = ("Dog/deep/er/z.webp", "Dog/jpg.png", "Cat/.x/../q.bmp")
    lay(tmp_path, *PETS, *odd, *more, "Cat/.x/no.jpg", "Cat/.no.jpg")
    lay(tmp_path, "__MACOSX/Cat/no.jpg", "Cat/Thumbs.db", "Cat/no.txt")
    lay(tmp_path, ".ipynb_checkpoints/no.jpg", "Dog/desktop.ini", "Dog/no")
    found = index_images(tmp_path)
    assert len(found) == len(PETS) + 7
    assert not found.path.str.contains("no").any()
    assert set(found["class"]) == {"Cat", "Dog"}
    assert list(found.path) == sorted(found.path)
    nested = found[found.path == "Dog/deep/er/z.webp"]
    assert nested["class"].item() == "Dog"


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "validation"), ["train", "validation"]),
        (("Train", "VAL", "Test"), ["train", "validation", "test"]),
        (("training", "valid", "testing"), ["train", "validation", "test"]),
        (("training_set", "test_set"), ["train", "test"]),
    ],
)
@pytest.mark.parametrize("wrap", ["", "cats_and_dogs_filtered"])
def test_given_split_is_respected(tmp_path, wrap, names, splits):
    for name in names:
        lay(tmp_path / wrap / name, *PETS)
    table = index_images(tmp_path)
    assert len(table) == len(PETS) * len(names)
    assert set(table["class"]) == {"Cat", "Dog"}
    for name, split in zip(names, splits, strict=True):
        inside = table.path.str.contains(f"{name}/")
        assert set(table.split[inside]) == {split}


def test_unlabelled_images_of_a_split_are_left_out_aloud(tmp_path):
    lay(tmp_path / "train", *PETS)
    lay(tmp_path, "test/1.jpg", "test/2.jpg", "single_prediction/x.jpg")
    with pytest.warns(UserWarning, match="3 images are left out"):
        table = index_images(tmp_path)
    assert len(table) == 4


def test_images_beside_the_classes_are_left_out_aloud(tmp_path):
    lay(tmp_path / "PetImages", *PETS)
    lay(tmp_path, "logo.png")
    with pytest.warns(UserWarning, match="logo.png"):
        assert len(index_images(tmp_path)) == 4


def test_classes_may_be_named_like_splits_or_numbers(tmp_path):
    lay(tmp_path, "test/1.jpg", "control/1.jpg", "0/1.jpg", "00/1.jpg")
    assert set(index_images(tmp_path)["class"]) == {
        "test",
        "control",
        "0",
        "00",
    }


@pytest.mark.parametrize("wrap", ["", "oxford-iiit-pet"])
def test_oxford_pets(tmp_path, wrap):
    root = tmp_path / wrap
    names = ["Abyssinian_1", "Abyssinian_2", "great_pyrenees_1"]
    lay(root, *(f"images/{name}.jpg" for name in [*names, "great_pyrenees_2"]))
    lay(root, "images/Abyssinian_100.mat", "images/Abyssinian_99.jpg")
    lay(root, *(f"annotations/trimaps/{name}.png" for name in names))
    lists = {
        "list": "#Image CLASS-ID SPECIES BREED ID\n",
        "trainval": "Abyssinian_1 1 1 1\ngreat_pyrenees_1 2 2 1\n",
        "test": "Abyssinian_2 1 1 1\ngreat_pyrenees_2 2 2 1\nmissing_1 1 1 1\n",
    }
    for name, text in lists.items():
        (root / "annotations" / f"{name}.txt").write_text(text)
    prefix = f"{wrap}/images" if wrap else "images"
    assert rows(tmp_path) == [
        (f"{prefix}/Abyssinian_1.jpg", "Abyssinian", "train"),
        (f"{prefix}/Abyssinian_2.jpg", "Abyssinian", "test"),
        (f"{prefix}/great_pyrenees_1.jpg", "great_pyrenees", "train"),
        (f"{prefix}/great_pyrenees_2.jpg", "great_pyrenees", "test"),
    ]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_links_are_followed_but_not_in_circles(tmp_path):
    lay(tmp_path / "elsewhere", "1.jpg", "2.jpg")
    lay(tmp_path / "pets", "Cat/1.jpg")
    (tmp_path / "pets/Dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "pets/Cat/again").symlink_to(tmp_path / "pets")
    (tmp_path / "link").symlink_to(tmp_path / "pets")
    for folder in (tmp_path / "pets", tmp_path / "link"):
        assert list(index_images(folder).path) == [
            "Cat/1.jpg",
            "Dog/1.jpg",
            "Dog/2.jpg",
        ]


# What is wrong, the words of the message, and the folder it must name
@pytest.mark.parametrize(
    ("paths", "given", "words", "named"),
    [
        ([], "nowhere", "no such folder", "nowhere"),
        (["x/readme.txt"], "x", "no images", ""),
        (["x/1.jpg", "x/2.jpg"], "x", "in no class folders", ""),
        (["x/Cat/1.jpg"], "x", "only one class, 'Cat'", ""),
        # One level too low
        (["x/Cat/1.jpg", "x/Dog/1.jpg"], "x/Cat", "in no class", "x?"),
        (["x/Cat/1.jpg", "x/Dog/1.jpg", "x/Cat/a/1.jpg"], "x/Cat", "one", "x?"),
        # One level too high
        (
            ["x/Pets/1.jpg", "x/Pets/Cat/1.jpg", "x/Pets/Dog/1.jpg"],
            "x",
            "only one class, 'Pets'",
            "x/Pets?",
        ),
        (
            [
                f"x/{a}/{b}/1.jpg"
                for a in ("one", "two")
                for b in ("Cat", "Dog")
            ],
            "x",
            "one level too high",
            "x/one,",
        ),
        # Empty classes
        (["x/Cat/1.jpg", "x/Dog/1.jpg", "x/Emu/"], "x", "no images", "x/Emu"),
        (["x/Cat/1.jpg", "x/Dog/1.mp4"], "x", "class", ""),
        (
            ["x/Cat/1.jpg", "x/Dog/1.jpg", "x/Emu/Thumbs.db", "x/Emu/1.mp4"],
            "x",
            "no images",
            "x/Emu",
        ),
        (
            ["x/train/Cat/1.jpg", "x/train/Dog/1.jpg", "x/val/Cat/1.jpg"],
            "x",
            "'Dog' has no images in 'validation'",
            "",
        ),
        # Names that one disk in two takes for the same
        (["x/Cat/1.jpg", "x/cat/1.jpg"], "x", "differ in case only", ""),
        (
            ["x/train/Cat/1.jpg", "x/train/Dog/1.jpg"]
            + ["x/val/cat/1.jpg", "x/val/dog/1.jpg"],
            "x",
            "differ in case only",
            "",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path, paths, given, words, named
):
    for path in paths:
        if path.endswith("/"):
            (tmp_path / path).mkdir(parents=True)
        else:
            lay(tmp_path, path)
    with pytest.raises(ValueError, match=words) as caught:
        index_images(tmp_path / given)
    message = str(caught.value)
    assert "\n" not in message
    assert "Received: " in message
    assert f"{tmp_path / given}" in message
    assert f"{tmp_path}/{named}" in message
