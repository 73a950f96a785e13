"""The table goes on where it was, and no other file is spoilt."""

import csv
import os

import pandas as pd
import pytest

from catdog_helpers.prediction.answers import Answers

ROW = {"class": "cat", "probability": 0.9, "verdict": "cat", "error": ""}
NAMES = ["a.jpg", 'b, "c".jpg', "d\ne.jpg", "f\r\ng.jpg", "Föhn 猫.jpg"]


def write(path, names=NAMES, model="m"):
    with Answers(path, None, model=model) as answers:
        for name in names:
            if name not in answers:
                answers.add(ROW | {"path": name}, None)


def test_a_table_cut_anywhere_goes_on_to_the_same_table(tmp_path):
    table = tmp_path / "t.csv"
    write(table)
    whole = table.read_bytes()
    for cut in range(len(whole)):
        table.write_bytes(whole[:cut])
        write(table)
        assert table.read_bytes() == whole, whole[:cut]


@pytest.mark.parametrize(
    "content",
    ["a,b\n1,2\n", "notes", "path,class\r\n", "path,\n", '"', "\n", "\r\n\r\n"],
)
def test_another_file_is_refused_and_stays(tmp_path, content):
    table = tmp_path / "t.csv"
    table.write_text(content, newline="")
    with pytest.raises(ValueError, match=r"another table.*Received") as caught:
        write(table)
    assert "\n" not in str(caught.value)
    assert table.read_bytes().decode() == content


def test_answers_of_another_model_are_not_mixed(tmp_path):
    table = tmp_path / "t.csv"
    write(table, model="one")
    before = table.read_bytes()
    with pytest.raises(ValueError, match="another model"):
        write(table, model="two")
    assert table.read_bytes() == before


class Photo:
    def __init__(self, path, data):
        self.path, self.data = path, data

    def read(self):
        if self.data is None:
            raise OSError("gone")
        return self.data


@pytest.mark.parametrize(
    ("path", "verdict", "expected"),
    [
        ("/x/a.jpg", "cat or dog", "cat or dog/a.jpg"),
        ("p.zip/../../../a.jpg", "cat", "cat/a.jpg"),
        ("..", "../../etc", "_.._etc/_"),
        ("C:\\x\\a.jpg", "cat", "cat/a.jpg"),
        (f"{'a' * 300}.jpg", "cat", f"cat/{'a' * 146}.jpg"),
        (f"{'猫' * 83}.jpg", "cat", f"cat/{'猫' * 48}.jpg"),
    ],
)
def test_copies_stay_inside_the_folder(tmp_path, path, verdict, expected):
    with Answers(None, tmp_path / "out", model="m") as answers:
        answers.add(ROW | {"verdict": verdict}, Photo(path, b"pixels"))
    (found,) = (p for p in tmp_path.rglob("[!.]*") if p.is_file())
    assert found == tmp_path / "out" / expected
    assert found.read_bytes() == b"pixels"


def test_what_is_gone_when_it_is_copied_is_said(tmp_path):
    row = ROW | {"path": "a.jpg"}
    with Answers(None, tmp_path, model="m") as answers:
        answers.add(row, Photo("a.jpg", None))
    assert row["error"] == "not copied: gone"


FORMULAS = ["=1+1.jpg", "@S(1).jpg", "+1.jpg", "-1.jpg", "＝1.jpg"]


@pytest.mark.parametrize("name", [*FORMULAS, "'=1.jpg"])
def test_no_cell_is_run_by_a_spreadsheet(tmp_path, name):
    with Answers(tmp_path / "t.csv", None, model="m") as answers:
        answers.add(ROW | {"path": name, "class": "=cmd"}, None)
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file))[1][:2] == [f"'{name}", "'=cmd"]
    with Answers(tmp_path / "t.csv", None, model="m") as answers:
        assert name in answers
        assert f"'{name}" not in answers


def test_a_row_is_one_line(tmp_path):
    write(tmp_path / "t.csv", ["a\r\nb.jpg", "\t=1.jpg"])
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines[1:]] == [
        r"a\r\nb.jpg",
        r"\t=1.jpg",
    ]


def test_a_byte_order_mark_only_where_a_name_needs_it(tmp_path):
    table = tmp_path / "t.csv"
    write(table, ["a.jpg"])
    assert table.read_bytes().startswith(b"path,")
    write(table, ["a.jpg", "猫.jpg"])
    assert table.read_bytes().startswith(b"\xef\xbb\xbfpath,")
    write(table, ["a.jpg", "猫.jpg", "b.jpg"])
    assert table.read_bytes().count(b"\xef\xbb\xbf") == 1
    assert len(pd.read_csv(table).path) == 3


def test_a_row_that_failed_is_replaced_when_it_is_tried_again(tmp_path):
    table = tmp_path / "t.csv"
    with Answers(table, None, model="m") as answers:
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            error = "" if name == "b.jpg" else "half synced"
            answers.add(ROW | {"path": name, "error": error}, None)
    answers = Answers(table, None, model="m")
    assert [x in answers for x in ("a.jpg", "b.jpg", "path")] == [0, 1, 0]
    answers.add(ROW | {"path": "a.jpg"}, None)
    assert table.read_text().count("a.jpg") == 2  # each row at once on disk
    answers.locks.close()  # as a kill leaves it
    write(table, ["a.jpg"])
    # What did not come again keeps its row.
    rows = pd.read_csv(table, keep_default_na=False)
    found = list(zip(rows.path, rows.error, strict=True))
    assert found == [("a.jpg", ""), ("b.jpg", ""), ("c.jpg", "half synced")]


@pytest.mark.parametrize("kind", ["table", "folder"])
def test_a_second_process_is_refused(tmp_path, kind):
    place = tmp_path / "place"
    given = (place, None) if kind == "table" else (None, place)
    with (
        Answers(*given, model="m"),
        pytest.raises(OSError, match=r"another `predict`.*Received: .*place"),
    ):
        Answers(*given, model="m")
    Answers(*given, model="m").__exit__()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes")
def test_a_table_that_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for place in (tmp_path / "pipe.csv", tmp_path, "/dev/null"):
        with pytest.raises(OSError, match=r"`csv` must be a file.*Received"):
            Answers(place, None, model="m")


def test_a_table_behind_a_link_stays_there(tmp_path):
    (tmp_path / "link.csv").symlink_to("real.csv")
    write(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text("utf-8").count("a.jpg") == 1


def test_what_a_kill_left_among_the_copies_is_removed(tmp_path):
    (tmp_path / "cat").mkdir()
    left = tmp_path / "cat" / ".a.0123456789ab.partial.jpg"
    left.write_bytes(b"half")
    Answers(None, tmp_path, model="m").__exit__()
    assert not left.exists()
