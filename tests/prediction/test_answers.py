"""The table goes on where it was, and no other file is spoilt."""

import pytest

from catdog_helpers.prediction.answers import COLUMNS, Answers

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


def test_a_row_is_on_disk_before_the_next_begins(tmp_path):
    with Answers(tmp_path / "t.csv", None, model="m") as answers:
        answers.add(ROW | {"path": "a.jpg"}, None)
        assert (tmp_path / "t.csv").read_text().count("\n") == 2


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


def test_a_photograph_named_like_the_column_is_not_known(tmp_path):
    write(tmp_path / "t.csv", ["a.jpg"])
    with Answers(tmp_path / "t.csv", None, model="m") as answers:
        assert COLUMNS[0] not in answers
        assert "a.jpg" in answers


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
        ("https://a.b/c.jpg?d=e/f", "cat", "cat/f"),
        ("C:\\x\\a.jpg", "cat", "cat/a.jpg"),
        (f"{'a' * 300}.jpg", "cat", f"cat/{'a' * 146}.jpg"),
        (f"{'猫' * 83}.jpg", "cat", f"cat/{'猫' * 48}.jpg"),
    ],
)
def test_copies_stay_inside_the_folder(tmp_path, path, verdict, expected):
    with Answers(None, tmp_path / "out", model="m") as answers:
        answers.add(ROW | {"verdict": verdict}, Photo(path, b"pixels"))
    (found,) = (p for p in tmp_path.rglob("*") if p.is_file())
    assert found == tmp_path / "out" / expected
    assert found.read_bytes() == b"pixels"


def test_what_is_gone_when_it_is_copied_is_said(tmp_path):
    row = ROW | {"path": "a.jpg"}
    with Answers(None, tmp_path, model="m") as answers:
        answers.add(row, Photo("a.jpg", None))
    assert row["error"] == "not copied: gone"
