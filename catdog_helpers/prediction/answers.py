"""Keep answers as they come: a table that goes on, folders by verdict."""

import csv
import io
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from catdog_helpers.machine.files import replacing

COLUMNS = ("path", "class", "probability", "verdict", "error", "model")
HEADER = f"{','.join(COLUMNS)}\r\n".encode()
BOM = b"\xef\xbb\xbf"  # without it, Excel reads UTF-8 as an older encoding
# A spreadsheet runs a cell that starts like this, as a formula (OWASP, "CSV
# injection"); the quotation mark is escaped so that no two cells get equal.
FORMULA = tuple("=+-@\t\r\n＝＋－＠'")


class Answers:
    """Write each answer to a CSV file, and copy its photograph, at once.

    A cell that a spreadsheet would run as a formula starts with `'`. The file
    has a byte order mark if a name in it is not ASCII.

    Args:
        table: The CSV file, or `None`. If it exists, it goes on: complete
            rows are kept, a last row torn by a kill is dropped, and a row
            with an error is replaced when its photograph comes again.
        folder: Where photographs are copied to, one folder per verdict, or
            `None`. Nothing there is ever overwritten.
        model: Name of what gives the answers; one table holds those of one.

    Raises:
        ValueError: If the file is another table, or another model's.
        OSError: If it cannot be written, or another process writes to it.
    """

    def __init__(self, table, folder, *, model: str):
        self.model, self.file, self.known = model, None, set()
        self.folder = None if folder is None else Path(folder)
        with ExitStack() as stack:
            if self.folder:
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(_alone(self.folder / ".lock", folder))
                for left in self.folder.glob("*/.*.partial*"):  # by a kill
                    left.unlink(missing_ok=True)
            if table is not None:
                self.path = Path(table).resolve()
                if self.path.exists() and not self.path.is_file():
                    raise OSError(f"`csv` must be a file. Received: {table}")
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock = self.path.with_name(f".{self.path.name[:80]}.lock")
                stack.enter_context(_alone(lock, table))
                self._open()
            self.locks = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.locks:
            if self.file:
                # Every row is written; if this fails, the next run does it.
                with suppress(OSError):
                    self.file.close()
                    _tidy(self.path)

    def __contains__(self, path: str) -> bool:
        return hash(_as_cell(path)) in self.known

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
            cells = [_as_cell(row[column]) for column in COLUMNS]
            try:
                self.writer.writerow(cells)
                self.file.flush()
            except OSError as error:  # mostly a full disk; it has no name
                place = str(self.path)
                raise OSError(error.errno, error.strerror, place) from None
            self._note(cells)

    def _note(self, cells: list[str]) -> None:
        """Remember what has an answer; a hash is smaller than a path."""
        if not cells[COLUMNS.index("error")]:
            self.known.add(hash(cells[0]))

    def _open(self) -> None:
        end = 0
        for row, record in _complete_rows(self.path):
            self._check(row, is_header=not end)
            self._note(row)
            end += len(record)
        self.file = self.path.open("a", newline="", encoding="utf-8")
        self.file.truncate(end)
        self.writer = csv.writer(self.file)
        if not end:
            self.writer.writerow(COLUMNS)
            self.file.flush()

    def _check(self, row: list[str], *, is_header: bool) -> None:
        if len(row) != len(COLUMNS) or is_header != (row == list(COLUMNS)):
            raise ValueError(
                f"{self.path} is another table, it would be spoilt: name "
                f"another file. Received: {row!r:.99}"
            )
        if not is_header and row[-1] != self.model:
            raise ValueError(
                f"{self.path} has answers of another model: name another "
                "file, or move it away. "
                f"Received: {row[-1]!r:.99}, now {self.model!r}"
            )


def _tidy(path: Path) -> None:
    """Keep the last row of each photograph, and add a byte order mark."""
    last, is_ascii = {}, True
    for number, (row, record) in enumerate(_complete_rows(path)):
        last[hash(row[0]) if number else ""] = number
        is_ascii = is_ascii and record.isascii()
    with path.open("rb") as file:
        lacks_bom = not is_ascii and file.read(len(BOM)) != BOM
    if len(last) == number + 1 and not lacks_bom:
        return
    kept = set(last.values())
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(BOM if lacks_bom else b"")
        for number, (_, record) in enumerate(_complete_rows(path)):
            if number in kept:
                file.write(record)
        shutil.copymode(path, partial)


def _alone(lock: Path, place: str | Path) -> FileLock:
    """Hold a lock, or raise OSError if another process has it."""
    try:
        return FileLock(lock, timeout=0).acquire()
    except Timeout:
        raise BlockingIOError(
            "another `predict` writes to it: wait until it has ended, or name "
            f"another place. Received: {place}"
        ) from None


def _complete_rows(path: Path) -> Iterator[tuple[list[str], bytes]]:
    """Yield each row of a CSV file that is whole, and its bytes."""
    if not path.exists():
        return
    with path.open("rb") as file:
        record, is_first = b"", True
        for line in file:
            record += line
            # A line break within quotes is part of a name.
            if record.count(b'"') % 2 == 0 and line.endswith(b"\n"):
                text = record.removeprefix(BOM if is_first else b"")
                text = text.decode("utf-8", "replace")
                yield next(csv.reader(io.StringIO(text, newline=""))), record
                record, is_first = b"", False
        torn = (HEADER.startswith(record), (BOM + HEADER).startswith(record))
        if is_first and not any(torn):
            yield [record[:99].decode("utf-8", "replace")], record


def _as_cell(value) -> str:
    """Return the text of a cell that no spreadsheet runs as a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


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
        with replacing(target) as partial:
            partial.write_bytes(data)


def _as_name(text: str) -> str:
    """Make a name that any disk can hold, and that leads nowhere else."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "_", text).strip(" .")
    return name.encode()[-150:].decode(errors="ignore") or "_"
