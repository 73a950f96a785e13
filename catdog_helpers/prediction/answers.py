"""Keep answers as they come: a table that goes on, folders by verdict."""

import csv
import io
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

NOT_SURE, UNREADABLE = "not sure", "unreadable"
COLUMNS = ("path", "class", "probability", "verdict", "error", "model")
HEADER = f"{','.join(COLUMNS)}\r\n".encode()


class Answers:
    """Write each answer to a CSV file, and copy its photograph, at once.

    Args:
        table: The CSV file, or `None`. If it exists, it goes on: complete
            rows are kept, a last row torn by a kill is dropped.
        folder: Where photographs are copied to, one folder per verdict, or
            `None`. Nothing there is ever overwritten.
        model: Name of what gives the answers; one table holds those of one.

    Raises:
        ValueError: If the file is another table, or another model's.
    """

    def __init__(self, table, folder, *, model: str):
        self.folder = None if folder is None else Path(folder)
        self.model, self.known, self.file = model, set(), None
        if table is not None:
            self._open(Path(table))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.file:
            self.file.close()

    def __contains__(self, path: str) -> bool:
        return _key(path) in self.known

    def add(self, row: dict, photograph) -> None:
        """Keep one answer.

        Args:
            row: As `predict` yields it; a failed copy is noted in it.
            photograph: What it is about, a `Photograph`.
        """
        if self.folder and not row["error"]:
            folder = self.folder / _as_name(row["verdict"])
            folder.mkdir(parents=True, exist_ok=True)
            try:
                data = photograph.read()
            except (OSError, ValueError) as error:  # gone in the meantime
                row["error"] = f"not copied: {error}"
            else:
                _copy(data, photograph.path, folder)
        if self.file:  # after the copy: what has a row is not done again
            row = row | {"model": self.model}
            self.writer.writerow(row[column] for column in COLUMNS)
            self.file.flush()

    def _open(self, path: Path) -> None:
        end = 0
        rows = _complete_rows(path) if path.exists() else ()
        for number, (row, stop) in enumerate(rows):
            self._check(row, path, is_header=number == 0)
            if number:
                self.known.add(_key(row[0]))
            end = stop
        self.file = path.open("a", newline="", encoding="utf-8")
        self.file.truncate(end)
        self.writer = csv.writer(self.file)
        if not end:
            self.writer.writerow(COLUMNS)

    def _check(self, row: list[str], path: Path, *, is_header: bool) -> None:
        if len(row) != len(COLUMNS) or is_header != (row == list(COLUMNS)):
            raise ValueError(
                f"{path} is another table, it would be spoilt: name another "
                f"file. Received: {row!r:.99}"
            )
        if not is_header and row[-1] != self.model:
            raise ValueError(
                f"{path} has answers of another model: name another file, or "
                f"move it away. Received: {row[-1]!r:.99}, now {self.model!r}"
            )


def _complete_rows(path: Path) -> Iterator[tuple[list[str], int]]:
    """Yield each row of a CSV file that is whole, and where it ends."""
    with path.open("rb") as file:
        record, end = b"", 0
        for line in file:
            record += line
            # A line break within quotes is part of a name.
            if record.count(b'"') % 2 == 0 and line.endswith(b"\n"):
                end += len(record)
                text = record.decode("utf-8", "replace")
                yield next(csv.reader(io.StringIO(text, newline=""))), end
                record = b""
        if not end and not HEADER.startswith(record):  # torn by a kill
            yield [record[:99].decode("utf-8", "replace")], end


def _key(path: str) -> int:
    """Stand for a path in 8 bytes, for a hundred thousand of them."""
    return int.from_bytes(sha256(path.encode()).digest()[:8])


def _copy(data, path: str, folder: Path) -> None:
    """Write a photograph under its name, or under one with its hash."""
    if not isinstance(data, bytes):  # a PIL image
        buffer = io.BytesIO()
        data.save(buffer, "PNG")
        data, path = buffer.getvalue(), f"{path}.png"
    target = folder / _as_name(re.split(r"[/\\]", path)[-1])
    if target.exists() and target.read_bytes() != data:
        digest = sha256(data).hexdigest()[:12]
        target = target.with_name(f"{target.stem}-{digest}{target.suffix}")
    if not target.exists():
        partial = target.with_name(f".{target.name}.partial")
        partial.write_bytes(data)
        partial.rename(target)


def _as_name(text: str) -> str:
    """Make a name that any disk can hold, and that leads nowhere else."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "_", text).strip(" .")
    return name.encode()[-150:].decode(errors="ignore") or "_"
