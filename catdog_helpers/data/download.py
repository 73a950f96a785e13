"""Download a file: resumed, tried again, verified, then renamed."""

import re
import time
import warnings
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from requests import RequestException, Response
from requests.exceptions import SSLError
from tqdm import tqdm
from urllib3.exceptions import HTTPError, ProtocolError

from catdog_helpers.data.archive import is_archive
from catdog_helpers.data.headers import is_web_page
from catdog_helpers.machine.files import require_space, sha256_of, write_text

TIMEOUT = (10, 30)  # seconds to connect, seconds without a byte
ATTEMPTS, BACKOFF, MAX_WAIT = 5, 1.0, 60.0  # waits in seconds, each doubled
PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP status worth a retry
CHUNK = 2**16


class GiveUp(RequestException):
    """A failure that another attempt cannot mend."""


def download(
    urls: Sequence[str],
    path: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
) -> Path:
    """Download an archive to `path`, unless it is there; verify it always.

    Args:
        urls: Addresses of the file, tried in this order.
        path: Where to, in a folder that exists; what is there is used.
        size: Its bytes, if known.
        sha256: Its SHA-256; if not known, that of the first download is kept
            beside it, and later ones must have the same.

    Returns:
        `path`.

    Raises:
        OSError: If all addresses fail or the disk is too full.
        ValueError: If the file that is there is another one.
    """
    record = path.with_name(f"{path.name}.sha256")
    known = sha256 or _read(record)[:64]
    if not path.exists():
        _download_from_any(urls, path, size, known)
    elif problem := _find_problem(path, size, known):
        raise ValueError(
            f"This is not the file expected. Received: {path} ({problem}). "
            "Move it away to download it, or put the right one in its place."
        )
    if not known:
        known = sha256_of(path)
        write_text(record, f"{known}  {path.name}\n")
        warnings.warn(
            f"No SHA-256 is known for {path.name}: it is trusted this first "
            f"time, and {known} is recorded and expected from now on",
            stacklevel=3,
        )
    return path


def is_safe(url: str) -> bool:
    """Return whether an address is https, or http of this machine itself."""
    parts = urlsplit(url)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return parts.scheme == "https" or (parts.scheme == "http" and here)


def _download_from_any(urls, path: Path, size, sha256: str) -> None:
    part, problems = path.with_name(f"{path.name}.part"), []
    for url in urls:
        try:
            _download(url, part, size, sha256)
        except (RequestException, HTTPError) as error:
            problems.append(f"{url}: {_reason(error)}")
            continue
        _tag(part).unlink(missing_ok=True)
        part.replace(path)
        return
    raise ConnectionError(
        f"Cannot download {path.name}. Received: {'; '.join(problems)}. Run "
        f"again to go on, or put the file by hand at {path.resolve()} "
        f"(SHA-256 {sha256 or 'not known'})."
    )


def _download(url: str, part: Path, size, sha256: str) -> None:
    """Fill `part` from one address, or raise what is wrong for good."""
    resumed, failures = part.exists(), 0
    while not size or _length(part) != size:  # else killed before the rename
        before = _length(part)
        try:
            _request(url, part, size)
            break
        except (RequestException, HTTPError) as error:
            # While each try brings more, it goes on.
            failures = 1 if _length(part) > before + CHUNK else failures + 1
            wait = _seconds_to_wait(error, failures)
            if wait is None or failures == ATTEMPTS:
                raise
            time.sleep(wait)
    if problem := _find_problem(part, size, sha256):
        part.unlink()
        if not resumed:
            raise GiveUp(problem)
        _download(url, part, size, sha256)  # its start may be at fault


def _request(url: str, part: Path, size: int | None) -> None:
    """Ask once for what `part` lacks, and append what comes."""
    tag, have = _tag(part), _length(part)
    source, _, version = _read(tag).partition("\n")
    headers = {"Accept-Encoding": "identity"}
    if have and version and source == url:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    with requests.Session() as session:
        session.stream, session.max_redirects = True, 10
        session.hooks["response"].append(_check_redirect)
        response = session.get(url, headers=headers, timeout=TIMEOUT)
        left = response.raw.length_remaining or 0
        chunks = response.raw.stream(CHUNK, decode_content=False)
        if response.status_code in (206, 416):
            _check_range(response, part, version)
        else:
            response.raise_for_status()
            first = next(chunks, b"")
            if is_web_page(first):  # before anything is overwritten
                raise GiveUp("a web page, no archive (a log-in? a proxy?)")
            if size and left not in (0, size):
                raise GiveUp(f"{left:,} bytes instead of {size:,}")
            chunks = chain([first], chunks)
            # In this order, a kill leaves no part with another's tag.
            tag.unlink(missing_ok=True)
            part.write_bytes(b"")
            tag.write_text(f"{url}\n{_version(response)}", encoding="utf-8")
        require_space(part.parent, 2 * left)  # it is unpacked as well
        _append(chunks, part, size or (left and _length(part) + left))


def _append(chunks: Iterable[bytes], part: Path, total: int) -> None:
    bar = tqdm(
        desc=part.stem,
        initial=_length(part),
        total=total or None,
        unit="B",
        unit_scale=True,
    )
    with bar, part.open("ab") as file:
        for chunk in chunks:
            file.write(chunk)
            bar.update(len(chunk))
            if total and file.tell() > total:
                raise GiveUp(f"more than the {total:,} bytes it should have")
    if _length(part) < total:
        raise ProtocolError("the connection was cut")


def _check_range(response: Response, part: Path, version: str) -> None:
    """Start over if what is sent is not the rest of the same file."""
    sent = response.headers.get("Content-Range", "")
    match = re.match(r"bytes (\d{1,15})-", sent)
    continues = match and int(match[1]) == _length(part)
    if not (continues and _version(response) in ("", version)):
        part.unlink(missing_ok=True)
        raise ProtocolError("another part than asked for was sent")


def _check_redirect(response: Response, **_) -> None:
    if response.is_redirect:
        url = urljoin(response.url, response.headers["Location"])
        if not is_safe(url):
            raise GiveUp(f"it leads to an address without https, {url}")


def _find_problem(path: Path, size: int | None, sha256: str) -> str:
    """Return what is wrong with a downloaded archive, or ""."""
    with path.open("rb") as file:
        if is_web_page(file.read(1000)):
            return "a web page, no archive"
    if size and _length(path) != size:
        return f"{_length(path):,} bytes instead of {size:,}"
    if sha256 and (found := sha256_of(path)) != sha256:
        return f"SHA-256 {found} instead of {sha256}"
    return "" if is_archive(path) else "neither a zip nor a tar"


def _version(response: Response) -> str:
    """Return what If-Range may name this version of the file by, or ""."""
    tag, date = map(response.headers.get, ("ETag", "Last-Modified"))
    return tag if tag and not tag.startswith("W/") else date or ""


def _seconds_to_wait(error: Exception, failures: int) -> float | None:
    """Return the pause before the next try; None if that makes no sense."""
    response = getattr(error, "response", None)
    passing = response is None or response.status_code in PASSING
    if isinstance(error, (GiveUp, SSLError)) or not passing:
        return None
    asked = "" if response is None else response.headers.get("Retry-After", "")
    seconds = int(asked[:9]) if asked.isdecimal() else 0
    return min(max(seconds, BACKOFF * 2 ** (failures - 1)), MAX_WAIT)


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code} {error.response.reason}"
    if isinstance(error, GiveUp):
        return str(error)
    if isinstance(error, ProtocolError):
        return "the connection was cut"
    if type(error) is requests.ConnectionError:
        return "no connection (is there a network?)"
    return type(error).__name__  # says it; the text of these is very long


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def _tag(part: Path) -> Path:
    """Return the file that records of which version `part` is."""
    return part.with_name(f"{part.name}.tag")
