"""The layouts that are understood, and the advice where one is not."""

import itertools
import os
import re
import shutil
import unicodedata
import warnings

import pandas as pd
import pytest

from catdog_helpers.data.layout import index_images


def expand(text):
    """Expand braces, as a shell does: "{a,b}/1 c" gives a/1, b/1 and c."""
    for word in text.split(" "):
        parts = re.split(r"\{(.*?)\}", word)
        yield from map(
            "".join, itertools.product(*(p.split(",") for p in parts))
        )


def lay(folder, *paths):
    """Write a file of its own content to each path, or make a folder."""
    for path in paths:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            target.mkdir()
        else:
            target.write_text(path)
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


def test_images_beside_the_classes_are_left_out_aloud(tmp_path):
    lay(tmp_path / "PetImages", *PETS)
    lay(tmp_path, "logo.png")
    with pytest.warns(UserWarning, match="logo.png"):
        assert len(index_images(tmp_path)) == 4


# Folders; the classes that are understood, with their splits; what is said
@pytest.mark.parametrize(
    ("folders", "expected", "said"),
    [
        # Splits by many names
        ("w/{Train,VAL,Test}/{a,b}", "{train,validation,test}/{a,b}", ""),
        ("{training,valid,testing}/{a,b}", "{train,validation,test}/{a,b}", ""),
        ("w/{training,test}_set/{a,b}", "{train,test}/{a,b}", ""),
        (
            "seg_{train/seg_train,test/seg_test}/{a,b} seg_pred/seg_pred",
            "{train,test}/{a,b}",
            "all 1 in .*seg_pred.* no labels",
        ),
        ("{Train_Images,dev}/{a,b}", "{train,validation}/{a,b}", ""),
        ("x_{train,val}/{a,b}", "{train,validation}/{a,b}", ""),
        ("{trainSet,evaluation}/{a,b}", "{train,validation}/{a,b}", ""),
        ("{train1,train2}/{a,b}", "/{a,b}", ""),
        (
            "{train,test}/{a,b} train_masks/a",
            "{train,test}/{a,b}",
            "all 1 in .*train_masks, as that is no part of the split",
        ),
        # Class and split in one name
        ("{train,test}{A,B}", "{train,test}/{A,B}", "'testA' for class 'A'"),
        ("{a,b}_{train,test}", "{train,test}/{a,b}", "'a_test' for class 'a'"),
        # What has no labels
        ("train/{a,b} test", "/{a,b}", "test, .* `predict` can take"),
        ("train/{a,b} test/unknown", "/{a,b}", "all 1 in .*no labels"),
        ("train/{a,b} test/test/test", "/{a,b}", "no labels"),
        ("a b unlabeled", "/{a,b}", "by its name"),
        ("train/{a,b} test/{c,d}", "/{a,b}", "no class that is trained"),
        ("train/{a,b}/images {val,test}/images", "/{a,b}", "all 1 in .*val"),
        # Classes that only sound like splits, are numbers, or hold folders
        ("training_shoes test_tube", "/{training_shoes,test_tube}", ""),
        ("tube test_tube", "/{tube,test_tube}", ""),
        ("value valley trainer", "/{value,valley,trainer}", ""),
        ("0 00 unknown", "/{0,00,unknown}", ""),
        ("{a,b}/images", "/{a,b}", ""),
        ("a/{x,y} b", "/{a,b}", "several folders: 1, such as .*a with 'x'"),
        # What systems and network drives leave
        ("a b @eaDir/1.jpg #recycle/a lost+found", "/{a,b}", ""),
        ("a b $RECYCLE.BIN/S-1 @Recycle", "/{a,b}", ""),
    ],
)
def test_what_people_have_is_understood(tmp_path, folders, expected, said):
    lay(tmp_path, *(f"{folder}/1.jpg" for folder in expand(folders)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = index_images(tmp_path)
    assert set(table.split + "/" + table["class"]) == set(expand(expected))
    messages = [str(warning.message) for warning in caught]
    assert bool(messages) == bool(said), messages
    assert not said or any(re.search(said, m) for m in messages), messages


NUMBERS = "{0,1,2}.jpg"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (f"train/{{cat,dog}}.{NUMBERS} test1/{NUMBERS}", "/{cat,dog}"),
        (f"cat_{NUMBERS} dog_00{NUMBERS}", "/{cat,dog}"),
        ("images/{cat,dog}_({0,1,2}).jpg", "/{cat,dog}"),
        ("batch{1,2}/cat1{0,1,2}.jpg batch2/{0,1,2}-dog.jpg", "/{cat,dog}"),
        (f"{{train,test}}/{{cat,dog}}.{NUMBERS}", "{train,test}/{cat,dog}"),
        (
            "train/{cat,dog}/1.jpg val/{cat_1,dog_2}.jpg",
            "{train,validation}/{cat,dog}",
        ),
    ],
)
def test_labels_in_file_names_are_taken_aloud(tmp_path, paths, expected):
    lay(tmp_path, *expand(paths))
    with pytest.warns(UserWarning, match="the files' names"):
        table = index_images(tmp_path)
    assert set(table.split + "/" + table["class"]) == set(expand(expected))


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (f"{{cat,dog}}.{NUMBERS} logo.jpg", "1 lack .*'logo'"),
        (f"IMG_{NUMBERS} DSC{NUMBERS}", "6 lack a word"),
        (f"WhatsApp-Image-2024-01-0{NUMBERS} {NUMBERS}", "6 lack a word"),
        (f"cat.{NUMBERS} dog.1.jpg", "too few begin with 'dog'"),
        (f"h.{NUMBERS}", "all begin with 'h'"),
    ],
)
def test_file_names_that_are_no_labels_are_explained(tmp_path, paths, words):
    lay(tmp_path, *expand(paths))
    with pytest.raises(ValueError, match=words) as caught:
        index_images(tmp_path)
    assert "list the images in a CSV file" in str(caught.value)


def test_a_set_that_is_there_twice_is_taken_once_aloud(tmp_path):
    lay(tmp_path / "set", *PETS)
    shutil.copytree(tmp_path / "set", tmp_path / "set/set")
    with pytest.warns(UserWarning, match="all 4 in .*, as the same are beside"):
        table = index_images(tmp_path)
    assert list(table.path) == [f"set/{name}" for name in PETS]
    (tmp_path / "set/set/Dog/1.jpg").write_bytes(b"dog/1.jpg")  # one differs
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_files_are_images_by_their_first_bytes(tmp_path, photographs):
    photographs(tmp_path, {"a": 4, "b": 4})
    names = ("1", "2.jpg_large", "3.jpg?w=640", "4.orig")
    files = sorted((tmp_path / "a").iterdir())
    for path, name in zip(files, names, strict=True):
        path.rename(path.with_name(name))
    lay(tmp_path, "a/notes.txt", "a/clip.mp4", "b/labels.csv")
    os.mkfifo(tmp_path / "b" / "pipe")  # not opened
    with pytest.warns(UserWarning, match="Files") as caught:
        assert len(index_images(tmp_path)) == 8
    first, second = (str(warning.message) for warning in caught)
    assert "first bytes, not by their names: 4, such as" in first
    assert second == (
        "Files left out, as they are no images: 2, such as "
        f"{tmp_path / 'a/clip.mp4'}"
    )


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
    expected = ["Cat/1.jpg", "Dog/1.jpg", "Dog/2.jpg"]
    for folder in (tmp_path / "pets", tmp_path / "link"):
        assert list(index_images(folder).path) == expected


# What is wrong, the words of the message, and the folder it must name
@pytest.mark.parametrize(
    ("paths", "words", "named"),
    [
        ("readme.txt", "no images", ""),
        ("1.jpg 2.jpg", "in no class folders", ""),
        ("Cat/1.jpg", "only one class, 'Cat'", ""),
        ("Pets/{1,Cat/1,Dog/1}.jpg", "only one class, 'Pets'", ""),
        # One level too high
        ("{one,two}/{Cat,Dog}/1.jpg", "one level too high", "one,"),
        ("2023/{a,b}/1.jpg 2024/a/1.jpg c/1.jpg", "'a' are in '2024'", "2023,"),
        ("one/a/{b,c}/1.jpg two/b/1.jpg", "'b' are in 'two'", "one,"),
        ("a/1.jpg b/1.jpg c/a/1.jpg", "'a' are in 'c' and elsewhere", ""),
        ("fold{1,2}/{train,val}/{a,b}/1.jpg", "too high", "fold1,"),
        ("{a,b}/{train,test}/1.jpg", "too high", ""),
        ("{rps,rps-test-set}/{a,b}/1.jpg", "too high", ""),
        ("{set,set-(1)}/{a,b}/1.jpg", "too high", ""),
        # Empty classes
        ("Cat/1.jpg Dog/1.jpg Emu/", "no images", "Emu"),
        ("Cat/1.jpg Dog/1.mp4", "class", ""),
        ("{Cat,Dog}/1.jpg Emu/{Thumbs.db,1.mp4}", "no images", "Emu"),
        # Splits that are unclear, or lack something
        ("train/{A,B}/1.jpg val/A/1.jpg", "'B' has no images in 'valid", ""),
        ("{a,b,test1}/1.jpg", "'test1' is called like .* but 'a' beside", ""),
        ("{val,test}/{a,b}/1.jpg", "no 'train' beside test and validation", ""),
        ("train/{a,b}/1.jpg eval/b/1.jpg", "'a' has no images in 'valid", ""),
        ("{train,test1}/1.jpg", "in no class folders", ""),
        ("train/h_01.jpg test/h_2.jpg", "in no class folders", ""),
        # Names that one disk in two takes for the same
        ("{cat,Cat}/1.jpg", "differ in case only", ""),
        ("{train/Cat,train/Dog,val/cat,val/dog}/1.jpg", "differ in case", ""),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, paths, words, named):
    lay(tmp_path / "x", *expand(paths))
    with pytest.raises(ValueError, match=words) as caught:
        index_images(tmp_path / "x")
    message = str(caught.value)
    assert "\n" not in message
    assert "Received: " in message
    assert f"{tmp_path}/x" in message
    assert f"{tmp_path}/x/{named}" in message or not named


def test_odd_folders_are_refused(tmp_path):
    lay(tmp_path, "cat/1.jpg", "cat /1.jpg")
    with pytest.raises(ValueError, match="case only, or in spaces"):
        index_images(tmp_path)
    with pytest.raises(ValueError, match="no such folder. Received: .*none"):
        index_images(tmp_path / "none")


@pytest.mark.parametrize(
    ("classes", "named"),
    [
        (["cat", "dog", "Not  sure"], "Not  sure"),
        (["cat", "unreadable"], "unreadable"),
        (["cat", "dog", "cat or dog"], "cat or dog"),
        (["cat", "cat or dog", "sure"], ""),  # half a verdict is none
    ],
)
def test_a_class_may_not_be_called_like_a_verdict(tmp_path, classes, named):
    lay(tmp_path, *(f"{name}/1.jpg" for name in classes))
    if not named:
        assert len(index_images(tmp_path)) == 3
        return
    with pytest.raises(ValueError, match=f"verdicts of `predict`.*{named}"):
        index_images(tmp_path)
