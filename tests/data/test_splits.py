"""The one split: stratified, the same wherever and whenever it is made."""

import hashlib
import itertools
import re

import numpy as np
import pandas as pd
import pytest

from catdog_helpers.data.manifest import why_left_out
from catdog_helpers.data.splits import SPLITS, split, split_rows, split_sha256


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make(counts: dict, given: str = "") -> pd.DataFrame:
    """Return a manifest of sound, different images."""
    rows = [
        {"path": f"{given}{name}/{i}.jpg", "class": name, "given_split": given}
        for name, count in counts.items()
        for i in range(count)
    ]
    manifest = pd.DataFrame(rows).assign(status="ok", reason="")
    manifest["sha256"] = manifest.path.map(sha256)
    return manifest.assign(group=manifest.index)


def stack(*manifests: pd.DataFrame) -> pd.DataFrame:
    whole = pd.concat(manifests, ignore_index=True)
    return whole.assign(group=whole.index)


def sides(manifest: pd.DataFrame) -> dict[str, str]:
    return dict(zip(manifest.sha256, manifest.split, strict=True))


def counts(manifest: pd.DataFrame) -> dict[str, int]:
    return {name: int((manifest.split == name).sum()) for name in SPLITS}


def per_class(manifest: pd.DataFrame, part: str) -> dict[str, int]:
    return manifest[manifest.split == part]["class"].value_counts().to_dict()


def test_sizes_are_those_asked_for_and_each_class_has_its_share():
    result = split(make({"a": 100, "b": 300}), train=80, validation=40, test=20)
    assert counts(result) == {"train": 80, "validation": 40, "test": 20}
    assert per_class(result, "train") == {"a": 20, "b": 60}
    assert per_class(result, "validation") == {"a": 10, "b": 30}
    assert per_class(result, "test") == {"a": 5, "b": 15}
    rows = split_rows(result)
    assert [len(part) for part in rows] == [80, 40, 20]
    assert len(set(np.concatenate(rows))) == 140


@pytest.mark.parametrize("first", [5, 8, 14, 29])
def test_any_class_sizes_can_be_split_to_the_last_image(first):
    for others in itertools.combinations([5, 9, 13, 22, 27], 2):
        manifest = make(dict(zip("abc", (first, *others), strict=True)))
        result = split(manifest)
        fifth = len(manifest) // 5
        rest = len(manifest) - 2 * fifth
        assert list(counts(result).values()) == [rest, fifth, fifth]
        for part, size in counts(result).items():
            for name, members in manifest.groupby("class"):
                share = len(members) / len(manifest) * size
                assert abs(per_class(result, part)[name] - share) <= 2


def test_labels_are_class_numbers_in_alphabetical_order():
    result = split(make({"dog": 10, "cat": 10, "10": 10, "9": 10}))
    pairs = set(zip(result["class"], result.label, strict=True))
    assert pairs == {("10", 0), ("9", 1), ("cat", 2), ("dog", 3)}


def test_same_seed_same_split_and_another_seed_another():
    manifest = make({"a": 50, "b": 50})
    assert sides(split(manifest)) == sides(split(manifest.copy()))
    assert sides(split(manifest)) != sides(split(manifest, seed=1))


def with_copies(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """A third of the images are near copies of others of their class."""
    manifest = make({"a": n, "b": n})
    rng = np.random.default_rng(seed)
    for rows in manifest.groupby("class").groups.values():
        for row in rng.choice(rows, n // 3, replace=False):
            manifest.loc[row, "group"] = manifest.group[rng.choice(rows)]
    # As `prepare` numbers them: the first row of each group
    first = manifest.groupby("group").group.transform(lambda g: g.index[0])
    return manifest.assign(group=first)


def test_order_and_place_of_the_files_do_not_matter():
    manifest = with_copies()
    expected = sides(split(manifest, train=60, validation=20, test=20))
    for seed in range(3):
        moved = manifest.sample(frac=1, random_state=seed)
        moved = moved.reset_index(drop=True)
        group = moved.groupby("group").group.transform(lambda g: g.index[0])
        moved = moved.assign(group=group, path="elsewhere/" + moved.path)
        assert sides(split(moved, train=60, validation=20, test=20)) == expected


@pytest.mark.parametrize("seed", range(5))
def test_copies_never_straddle(seed):
    result = split(with_copies(seed=seed), seed=seed)
    used = result[result.split != ""]
    assert used.group.duplicated().any()
    assert (used.groupby("group").split.nunique() == 1).all()
    assert len(used) > 0.95 * len(result)


def test_test_and_validation_stay_when_train_changes():
    manifest = with_copies()
    sizes = {"validation": 20, "test": 20}
    held = [split(manifest, train=n, **sizes) for n in (4, 30, 70, None)]
    for part in ("validation", "test"):
        rows = [np.flatnonzero(x.split == part).tolist() for x in held]
        assert rows[0] == rows[1] == rows[2] == rows[3]
    more = split(manifest, validation=40, test=20)
    assert ((more.split == "test") == (held[0].split == "test")).all()


def test_only_sound_unambiguous_images_are_used_and_identical_ones_once():
    manifest = make({"a": 12, "b": 12})
    manifest.loc[0, "status"] = "rejected"
    manifest.loc[2, ["sha256", "group"]] = manifest.loc[1, ["sha256", "group"]]
    manifest.loc[13, "group"] = 4  # a copy of an "a" among the "b"
    result = split(manifest)
    assert np.flatnonzero(result.split == "").tolist() == [0, 2, 4, 13]


GIVEN = [  # all that `index_images` gives
    [""],
    ["train", "validation"],
    ["train", "test"],
    ["train", "validation", "test"],
]


@pytest.mark.parametrize("parts", GIVEN, ids="+".join)
def test_a_given_split_is_respected(parts):
    """A part that it lacks is cut from the part beside it, no other."""
    manifest = stack(*(make({"a": 30, "b": 40}, part) for part in parts))
    result = split(manifest)
    used = result[result.split != ""]
    assert min(counts(result).values()) > 0
    allowed = {"": set(SPLITS), **{part: {part} for part in SPLITS}}
    if "test" not in parts:
        allowed["validation"] |= {"test"}
    if "validation" not in parts:
        allowed["train"] |= {"validation"}
    for row in used.itertuples():
        assert row.split in allowed[row.given_split], row
    assert len(used) == len(manifest)  # and by default nothing is wasted


@pytest.fixture
def given():
    """Return a manifest of 40 training and 20 test images."""
    return stack(
        make({"a": 20, "b": 20}, "train"), make({"a": 10, "b": 10}, "test")
    )


def test_a_given_test_set_is_the_test_set_and_its_copies_are_left_out(given):
    given.loc[40, "group"] = 3  # a test image, near copy of a training one
    result = split(given)
    is_given = result.given_split == "test"
    assert (is_given == (result.split == "test")).all()
    assert result.split[3] == ""


@pytest.mark.parametrize(
    ("classes", "sizes", "message"),
    [
        ({"a": 5, "b": 2}, {}, r"needs 3 .* 'b': 2 of 2 usable\..* bring more"),
        ({"a": 50, "b": 1}, {}, r"needs 3 usable images.* 'b': 1 of 1"),
        ({"a": 50, "b": 50}, {"train": 90}, r"cannot split 100 .* 90 train"),
        ({"a": 50, "b": 50}, {"test": 500}, "bring more images"),
        ({"a": 50, "b": 50}, {"train": 0}, "0 train"),
        ({"a": 50, "b": 50}, {"test": -1}, "-1 test"),
        ({"a": 50, "b": 3}, {"test": 1}, "class 'b' cannot give its share"),
        ({"a": 50, "b": 50}, {"test": 1}, "of 1 images for test from the 50"),
    ],
)
def test_too_few_images_are_said_in_one_line(classes, sizes, message):
    with pytest.raises(ValueError, match=message) as caught:
        split(make(classes), **sizes)
    assert "\n" not in str(caught.value)


REJECTED = {"status": "rejected", "reason": "HEIC"}


@pytest.mark.parametrize(
    ("change", "why", "remedy"),
    [
        (REJECTED, "30: HEIC", "convert the files"),
        ({"group": 0}, "30: identical to a picture of", "delete the wrong"),
        ({"sha256": "x", "group": 45}, "29: identical to another", "different"),
    ],
)
def test_why_a_class_has_no_images_is_said(change, why, remedy):
    manifest = make({"a": 30, "b": 30})
    manifest.loc[manifest["class"] == "b", list(change)] = list(change.values())
    with pytest.raises(ValueError, match="needs 3 usable images") as caught:
        split(manifest)
    assert re.search(rf"'b': \d of 30 usable \({why}", str(caught.value))
    assert remedy in str(caught.value)


def test_copies_across_a_given_split_are_counted(given):
    given["duplicate"] = given.index
    given.loc[given["class"] == "a", "group"] = 0
    with pytest.raises(
        ValueError, match="20: a copy of a picture on"
    ) as caught:
        split(given)
    assert re.search("'a' photographs are nearly.* a fixed", str(caught.value))
    assert counts(split(given, copies="identical"))["test"] == 20


def scene(n: int = 30, size: int = 20) -> pd.DataFrame:
    """Some pictures of each of two classes are frames of one camera."""
    manifest = make({"a": n, "b": n})
    manifest["duplicate"] = manifest.index
    for first in (0, n):
        manifest.loc[first : first + size - 1, "group"] = 0
    return manifest


def test_near_copies_of_two_classes_are_kept_together_and_named():
    words = (
        "20 of 30 'a' photographs are nearly the same picture, such as a/0.jpg"
    )
    with pytest.warns(UserWarning, match=words) as caught:
        result = split(scene(), validation=4, test=4)
    assert 'split(copies="identical")' in str(caught[0].message)
    assert set(result.split[result.group == 0]) == {"train"}
    assert counts(result) == {"train": 52, "validation": 4, "test": 4}


def test_a_scene_that_cannot_be_split_is_the_reason_given():
    with pytest.raises(ValueError, match="^30 of 30 'a' photographs") as caught:
        split(scene(size=30))
    assert "cannot give its share" in str(caught.value)
    apart = split(scene(size=30), copies="identical")
    assert counts(apart) == {"train": 36, "validation": 12, "test": 12}
    with pytest.raises(ValueError, match="Received: 'none'"):
        split(scene(), copies="none")


def test_only_duplicates_are_evidence_of_a_wrong_label():
    manifest = scene()
    manifest.loc[[0, 31], "duplicate"] = 0
    assert np.flatnonzero(why_left_out(manifest)).tolist() == [0, 31]


@pytest.mark.parametrize(
    "classes",
    [
        {"a": 3, "b": 3},
        {"a": 200, "b": 10},
        {"a": 1000, "b": 3, "c": 3},
        {f"{i:03}": 3 for i in range(200)},
        {"mon chat": 9, "кот": 5, "犬": 6, "Bär 2": 40},
    ],
    ids=["three", "uneven", "very uneven", "200 classes", "any script"],
)
def test_every_class_is_in_every_split(classes):
    result = split(make(classes))
    table = result.groupby(["class", "split"]).size().unstack()
    assert table[["train", "validation", "test"]].min(axis=None) >= 1
    assert table.to_numpy().sum() == sum(classes.values())


def test_the_name_of_a_split_changes_with_it_and_only_then():
    result = split(make({"a": 30, "b": 30}))
    name = split_sha256(result)
    assert re.fullmatch("[0-9a-f]{64}", name)
    moved = result.sample(frac=1, random_state=0).reset_index(drop=True)
    moved = moved.assign(path="x/" + moved.path, reason="any", width=7)
    assert split_sha256(moved) == name
    used = result.index[result.split == "train"][0]
    for change in ({"split": "test"}, {"class": "b"}, {"sha256": "0" * 64}):
        other = result.copy()
        other.loc[used, list(change)] = list(change.values())
        assert split_sha256(other) != name, change


def test_pairs_of_copies_in_small_data_are_split():
    """Four pairs a class: a pair fills a place for one, but stays together."""
    manifest = make({"a": 8, "b": 8})
    manifest["group"] = np.arange(len(manifest)) // 2 * 2
    found = split(manifest)
    assert (found.groupby("group").split.nunique() == 1).all()
    assert set(found.groupby("class").split.nunique()) == {3}
