"""Read a CSV file that says which photograph is of which class."""

import os
from pathlib import Path

import pandas as pd


def read_labels(path: Path) -> pd.DataFrame:
    """Read a list of photographs; commas or semicolons between the columns.

    Args:
        path: The CSV file, with the columns `path` (relative to it) and
            `label`; others are passed over.

    Returns:
        Table with the columns `path` (absolute, with `/`), `class` and
        `split` (empty). A line that stands there twice is taken once.

    Raises:
        ValueError: If it cannot be read, or a line lacks something.
    """
    try:
        head = path.read_text("utf-8-sig").partition("\n")[0]
        separator = ";" if head.count(";") > head.count(",") else ","
        reading = {"dtype": str, "keep_default_na": False, "sep": separator}
        table = pd.read_csv(path, **reading, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # what pandas raises is one, too
        raise _error(f"is no CSV in UTF-8 ({error})", path) from None
    table = table.rename(columns=lambda name: name.strip().lower())
    if not {"path", "label"} <= set(table):
        raise _error(f"has the columns {', '.join(table)}", path)
    table = table[["path", "label"]].apply(lambda column: column.str.strip())
    # Joining keeps a path that is absolute as it is.
    full = [os.path.abspath(path.parent / name) for name in table.path]
    found = pd.Series(map(os.path.isfile, full), table.index, bool)
    wrong = ~found | (table.label == "")
    if wrong.any():
        first = ", ".join(table[wrong].iloc[0])
        problem = f"has {wrong.sum():,} lines without a file or a label"
        raise _error(f"{problem}, such as {first!r}", path)
    paths = [Path(name).as_posix() for name in full]
    table = pd.DataFrame({"path": paths, "class": table.label, "split": ""})
    return table.drop_duplicates().sort_values("path", ignore_index=True)


def _error(problem: str, path: Path) -> ValueError:
    return ValueError(
        f"The list {' '.join(problem.split())}. Received: {path}. It needs the "
        "columns path and label, such as `path,label` and below it "
        "`pictures/1.jpg,cat`; paths are relative to the list."
    )
