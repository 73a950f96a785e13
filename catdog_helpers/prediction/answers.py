"""Keep answers as they come: a table that goes on, folders by verdict."""

import csv
import io
import re
import shutil
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from catdog_helpers.machine.failures import one_line
from catdog_helpers.machine.files import replacing

COLUMNS = ("path", "class", "probability", "verdict", "error", "model")
HEADER = f"{','.join(COLUMNS)}\r\n"
# A spreadsheet runs a cell that starts like this, as a formula (OWASP, "CSV
# injection"); the quotation mark is escaped so that no two cells get equal.
FORMULA = tuple("=+-@＝＋－＠'")


class Answers:
    """Write each answer to a CSV file, and copy its photograph, at once.

    A cell that a spreadsheet would run as a formula starts with `'`, and line
    breaks in it are escaped. The file has a byte order mark if a name in it is
    not ASCII: without it, Excel reads UTF-8 as an older encoding.

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
                self._tidy()
                self.file = self.path.open("a", newline="", encoding="utf-8")
                self.writer = csv.writer(self.file)
            self.locks = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Every row is written; if tidying fails, the next run does it.
        with self.locks, suppress(OSError):
            if self.file:
                self.file.close()
                self._tidy()

    def __contains__(self, path: str) -> bool:
        return _as_cell(path) in self.known

    def add(self, row: dict, photograph) -> None:
        """Keep one answer.

        Args:
            row: As `predict` yields it; a failed copy is noted in it.
            photograph: What it is about, a `Photograph`.
        """
        if self.folder and not row["error"]:
            try:
                data = photograph.read()
            except (OSError, ValueError) as error:  # gone in the meantime
                row["error"] = f"not copied: {error}"
            else:
                _copy(data, photograph.path, self.folder, row["verdict"])
        if self.file:  # after the copy: what has a row is not done again
            row = row | {"model": self.model}
            cells = [_as_cell(row[column]) for column in COLUMNS]
            try:
                self.writer.writerow(cells)
                self.file.flush()
            except OSError as error:  # mostly a full disk; it has no name
                place = str(self.path)
                raise OSError(error.errno, error.strerror, place) from None
            if not row["error"]:
                self.known.add(cells[0])

    def _tidy(self) -> None:
        """Write the table anew, with the last row of each photograph."""
        rows, error = self._rows(), COLUMNS.index("error")
        self.known = {path for path, row in rows.items() if not row[error]}
        out = io.StringIO(newline="")
        csv.writer(out).writerows([COLUMNS, *rows.values()])
        encoding = "utf-8" if out.getvalue().isascii() else "utf-8-sig"
        with replacing(self.path) as partial:
            partial.write_bytes(out.getvalue().encode(encoding))
            if self.path.exists():
                shutil.copymode(self.path, partial)

    def _rows(self) -> dict[str, list[str]]:
        """Read and check the table, without a last row torn by a kill."""
        data = self.path.read_bytes() if self.path.exists() else b""
        if any(
            HEADER.encode(x).startswith(data) for x in ("utf-8", "utf-8-sig")
        ):
            return {}
        text = data.decode("utf-8-sig", "backslashreplace")
        whole = io.StringIO(text[: text.rfind("\n") + 1], newline="")
        header, *rows = list(csv.reader(whole)) or [[text]]
        wrong = [row for row in rows if len(row) != len(COLUMNS)]
        if header != list(COLUMNS) or wrong:
            raise ValueError(
                f"{self.path} is another table, it would be spoilt: name "
                f"another file. Received: {(wrong or [header])[0]!r:.99}"
            )
        if others := {row[-1] for row in rows} - {self.model}:
            raise ValueError(
                f"{self.path} has answers of another model: name another "
                "file, or move it away. "
                f"Received: {others.pop()!r:.99}, now {self.model!r}"
            )
        return {row[0]: row for row in rows}


def _alone(lock: Path, place: str | Path) -> FileLock:
    """Hold a lock, or raise OSError if another process has it."""
    try:
        return FileLock(lock, timeout=0).acquire()
    except Timeout:
        raise BlockingIOError(
            "another `predict` writes to it: wait until it has ended, or name "
            f"another place. Received: {place}"
        ) from None


def _as_cell(value) -> str:
    """Return text on one line that no spreadsheet runs as a formula."""
    text = one_line(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _copy(data, path: str, folder: Path, verdict: str) -> None:
    """Write a photograph under its name, or under one with its hash."""
    if not isinstance(data, bytes):  # a PIL image
        buffer = io.BytesIO()
        data.save(buffer, "PNG")
        data, path = buffer.getvalue(), f"{path}.png"
    name = _as_name(re.split(r"[/\\]", path)[-1])
    target = folder / _as_name(verdict) / name
    if target.exists() and target.read_bytes() != data:
        digest = sha256(data).hexdigest()[:12]
        target = target.with_name(f"{target.stem}-{digest}{target.suffix}")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as partial:
            partial.write_bytes(data)


def _as_name(text: str) -> str:
    """Make a name that any disk can hold, and that leads nowhere else."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "_", text).strip(" .")
    return name.encode()[-150:].decode(errors="ignore") or "_"
