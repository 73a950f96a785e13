"""The layouts that are understood, and the advice where one is not."""

import os
import re
import shutil
import unicodedata
import warnings

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
    with pytest.warns(UserWarning, match="no images: 1, such as .*Dog/no$"):
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


def test_images_beside_the_classes_are_left_out_aloud(tmp_path):
    lay(tmp_path / "PetImages", *PETS)
    lay(tmp_path, "logo.png")
    with pytest.warns(UserWarning, match="logo.png"):
        assert len(index_images(tmp_path)) == 4


TRAIN_TEST = {("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")}
TRAIN_VAL = {
    (split.replace("test", "validation"), n) for split, n in TRAIN_TEST
}
PLAIN = {("", "a"), ("", "b")}


def numbered(*names):
    return [name.replace("#", str(i)) for name in names for i in range(3)]


# Folders, what is understood, and what is said of the rest
@pytest.mark.parametrize(
    ("paths", "expected", "said"),
    [
        # Splits by many names
        (
            ["seg_train/seg_train/a", "seg_train/seg_train/b"]
            + [
                "seg_test/seg_test/a",
                "seg_test/seg_test/b",
                "seg_pred/seg_pred",
            ],
            TRAIN_TEST,
            "all 1 in .*seg_pred.* no labels",
        ),
        (["Train_Images/a", "Train_Images/b", "dev/a", "dev/b"], TRAIN_VAL, ""),
        (["x_train/a", "x_train/b", "x_val/a", "x_val/b"], TRAIN_VAL, ""),
        (
            ["trainSet/a", "trainSet/b", "evaluation/a", "evaluation/b"],
            TRAIN_VAL,
            "",
        ),
        (["train1/a", "train2/b", "train1/b", "train2/a"], PLAIN, ""),
        (
            ["rps/a", "rps/b", "rps-test-set/a", "rps-test-set/b"],
            TRAIN_TEST,
            "",
        ),
        (
            ["train/a", "train/b", "test/a", "test/b", "train_masks/a"],
            TRAIN_TEST,
            "all 1 in .*train_masks, as that is no part of the split",
        ),
        # Class and split in one name, and a split in each class
        (
            ["trainA", "trainB", "testA", "testB"],
            "AB",
            "'trainB' for class 'B'",
        ),
        (
            ["a_train", "b_train", "a_test", "b_test"],
            TRAIN_TEST,
            "'b_train'|'b_test'",
        ),
        (["a/train", "a/test", "b/train", "b/test"], TRAIN_TEST, "own split"),
        # What has no labels
        (["train/a", "train/b", "test"], PLAIN, "test, .* `predict` can take"),
        (["train/a", "train/b", "test/unknown"], PLAIN, "all 1 in .*no labels"),
        (["train/a", "train/b", "test/test/test"], PLAIN, "no labels"),
        (["a", "b", "unlabeled"], PLAIN, "by its name"),
        (["train/a", "train/b", "test/c", "test/d"], PLAIN, "is called 'c'"),
        (
            ["train/a/images", "train/b/images", "val/images", "test/images"],
            PLAIN,
            "all 1 in .*val",
        ),
        # Classes that only sound like splits, are numbers, or hold folders
        (["training_shoes", "test_tube"], {"training_shoes", "test_tube"}, ""),
        (["tube", "test_tube"], {"tube", "test_tube"}, ""),
        (["value", "valley", "trainer"], {"value", "valley", "trainer"}, ""),
        (["0", "00", "unknown"], {"0", "00", "unknown"}, ""),
        (["a/images", "b/images"], PLAIN, ""),
        (
            ["a/x", "a/y", "b"],
            PLAIN,
            "several folders: 1, such as .*a with 'x'",
        ),
        # What systems and network drives leave
        (["a", "b", "@eaDir/1.jpg", "#recycle/a", "lost+found"], PLAIN, ""),
        (
            ["a", "b", "$RECYCLE.BIN/S-1", "System Volume Information"],
            PLAIN,
            "",
        ),
    ],
)
def test_what_people_have_is_understood(tmp_path, paths, expected, said):
    lay(tmp_path, *(f"{path}/1.jpg" for path in paths))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = index_images(tmp_path)
    found = set(zip(table.split, table["class"], strict=True))
    if expected == "AB":
        expected = {(split, name.upper()) for split, name in TRAIN_TEST}
    if not isinstance(next(iter(expected)), tuple):
        expected = {("", name) for name in expected}
    assert found == expected
    messages = [str(warning.message) for warning in caught]
    assert bool(messages) == bool(said), messages
    if said:
        assert any(re.search(said, message) for message in messages), messages


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (numbered("train/cat.#.jpg", "train/dog.#.jpg", "test1/#.jpg"), PLAIN),
        (numbered("cat_#.jpg", "dog_00#.png"), PLAIN),
        (numbered("images/cat (#).jpg", "images/dog (#).jpg"), PLAIN),
        (
            numbered(
                "batch1/cat1#.jpg", "batch2/cat2#.jpg", "batch2/#-dog.jpg"
            ),
            PLAIN,
        ),
        (
            numbered("train/cat.#.jpg", "train/dog.#.jpg")
            + numbered("test/cat.#.jpg", "test/dog.#.jpg"),
            TRAIN_TEST,
        ),
        (
            [
                "train/cat/1.jpg",
                "train/dog/1.jpg",
                "val/cat_1.jpg",
                "val/dog_2.jpg",
            ],
            TRAIN_VAL,
        ),
    ],
)
def test_labels_in_file_names_are_taken_aloud(tmp_path, paths, expected):
    lay(tmp_path, *paths)
    with pytest.warns(UserWarning, match="the files' names"):
        table = index_images(tmp_path)
    names = {"cat": "a", "dog": "b"}
    found = {
        (s, names[n]) for s, n in zip(table.split, table["class"], strict=True)
    }
    assert found == expected


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (numbered("cat.#.jpg", "dog.#.jpg") + ["logo.jpg"], "1 lack .*'logo'"),
        (numbered("IMG_#.jpg", "DSC#.jpg"), "6 lack a word"),
        (numbered("WhatsApp Image 2024-01-0#.jpg", "#.jpg"), "6 lack a word"),
        (numbered("cat.#.jpg") + ["dog.1.jpg"], "too few begin with 'dog'"),
        (numbered("h.#.jpg"), "all begin with 'h'"),
    ],
)
def test_file_names_that_are_no_labels_are_explained(tmp_path, paths, words):
    lay(tmp_path, *paths)
    with pytest.raises(ValueError, match=words) as caught:
        index_images(tmp_path)
    assert "list the images in a CSV file" in str(caught.value)


@pytest.mark.parametrize("where", ["inside", "beside"])
def test_a_set_that_is_there_twice_is_taken_once_aloud(tmp_path, where):
    for name in ("Cat/1.jpg", "Cat/2.jpg", "Dog/1.jpg"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    again = tmp_path / ("set/set" if where == "inside" else "set (1)")
    shutil.copytree(tmp_path / "set", again)
    with pytest.warns(UserWarning, match="all 3 in .*, as the same are in"):
        table = index_images(tmp_path)
    assert set(table.path) == {
        "set/Cat/1.jpg",
        "set/Cat/2.jpg",
        "set/Dog/1.jpg",
    }
    (again / "Dog/1.jpg").write_bytes(b"dog/1.jpg")  # one differs
    with pytest.raises(ValueError, match="one level too high"):
        index_images(tmp_path)


def test_names_that_only_unicode_tells_apart_are_one_class(tmp_path):
    for form in ("NFC", "NFD"):
        lay(tmp_path, unicodedata.normalize(form, "köter/1.jpg"))
    lay(tmp_path, "katze/1.jpg")
    table = index_images(tmp_path)
    composed = unicodedata.normalize("NFC", "köter")
    assert sorted(table["class"]) == ["katze", composed, composed]
    assert len(set(table.path)) == 3


def test_files_are_images_by_their_first_bytes(tmp_path, photographs):
    photographs(tmp_path, {"a": 4, "b": 4})
    for path, name in zip(
        sorted((tmp_path / "a").iterdir()),
        ("1", "2.jpg_large", "3.jpg?w=640", "4.orig"),
        strict=True,
    ):
        path.rename(path.with_name(name))
    lay(tmp_path, "a/notes.txt", "a/clip.mp4", "b/labels.csv")
    with pytest.warns(UserWarning, match="Files") as caught:
        assert len(index_images(tmp_path)) == 8
    first, second = (str(warning.message) for warning in caught)
    assert "first bytes, not by their names: 4, such as" in first
    assert second == (
        "Files left out, as they are no images: 1, such as "
        f"{tmp_path / 'a/clip.mp4'}"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_opened(tmp_path):
    lay(tmp_path, *PETS)
    os.mkfifo(tmp_path / "Cat" / "pipe")
    with pytest.warns(UserWarning, match="no images: 1"):
        assert len(index_images(tmp_path)) == 4


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
        (
            ["x/2023/a/1.jpg", "x/2023/b/1.jpg", "x/2024/a/1.jpg", "x/c/1.jpg"],
            "x",
            "called 'a' in '2023' and in '2024'.* one level too high",
            "x/2023,",
        ),
        (
            ["x/one/a/b/1.jpg", "x/one/a/c/1.jpg", "x/two/b/1.jpg"],
            "x",
            "called 'b' in 'one' and in 'two'",
            "x/one,",
        ),
        (
            ["x/a/1.jpg", "x/b/1.jpg", "x/c/a/1.jpg"],
            "x",
            "called 'a' beside 'c' and in it",
            "",
        ),
        (
            [
                f"x/fold{i}/{part}/{name}/1.jpg"
                for i in (1, 2)
                for part in ("train", "val")
                for name in "ab"
            ],
            "x",
            "one level too high",
            "x/fold1,",
        ),
        # Splits that are unclear, or lack something
        (
            ["x/a/1.jpg", "x/b/1.jpg", "x/test1/1.jpg"],
            "x",
            "'test1' is called like a part of a split, but 'a' beside it",
            "",
        ),
        (
            [
                "x/val/a/1.jpg",
                "x/val/b/1.jpg",
                "x/test/a/1.jpg",
                "x/test/b/1.jpg",
            ],
            "x",
            "no 'train' beside test and validation",
            "",
        ),
        (
            ["x/train/a/1.jpg", "x/train/b/1.jpg", "x/eval/b/1.jpg"],
            "x",
            "'a' has no images in 'validation'",
            "",
        ),
        (["x/train/1.jpg", "x/test1/1.jpg"], "x", "in no class folders", ""),
        (
            ["x/train/h_01.jpg", "x/test/h_2.jpg"],
            "x",
            "in no class folders",
            "",
        ),
        # Names that one disk in two takes for the same
        (["x/cat/1.jpg", "x/cat /1.jpg"], "x", "case only, or in spaces", ""),
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
