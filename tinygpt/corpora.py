"""Prose to train on: Python's own manual, Shakespeare's plays, any file; and how a file is fetched and kept."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from tinygpt import checkpoint

SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"  # of 1,115,394 bytes

TIMEOUT = 30.0  # seconds that a server may stay silent
_CHUNK = 1 << 20


def python_documentation() -> str:
    """The manual that comes with Python, as `help` shows it: some 400,000 characters, others in each version.

    A topic that is also a part of another is left out. Else the end of the text would repeat what came before, and not
    tell what a model has understood from what it has by heart.

    Raises: ModuleNotFoundError where Python was installed without its help.
    """
    try:
        from pydoc_data.topics import topics
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Python must come with its help, but pydoc_data.topics is missing: "
            "install the whole standard library, or take another text with read_text(path)"
        ) from error
    whole = {re.sub(r"\W+", " ", text): text for _, text in sorted(topics.items())}  # parts are underlined otherwise
    return "\n".join(text for words, text in whole.items() if sum(words in other for other in whole) == 1)


def read_text(path: checkpoint.File) -> str:
    """The text of a file in UTF-8; whatever its lines ended in, they end in a newline.

    Raises: ValueError for a file that is empty or no UTF-8; OSError where it cannot be read.
    """
    try:
        text = Path(path).read_text("utf-8-sig")  # some editors begin a file with a mark, which is no part of the text
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must be text in UTF-8, but its byte {error.start} is not: save it as UTF-8"
        ) from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} must be a text file, but there is none: check the path") from error
    if not text:
        raise ValueError(f"{path} must hold a text, but it is empty: take another file")
    return text


def tiny_shakespeare(cache: checkpoint.File | None = None, url: str = SHAKESPEARE) -> str:
    """A million characters of Shakespeare's plays, fetched once and kept in the cache folder.

    Raises: as `fetch`.
    Source: Karpathy 2015, https://karpathy.github.io/2015/05/21/rnn-effectiveness/
    """
    try:
        return read_text(fetch(url, SHAKESPEARE_SHA256, cache or cache_folder() / "tinyshakespeare"))
    except ConnectionError as error:
        raise ConnectionError(f"{error}; or take another text with read_text(path)") from error


def cache_folder() -> Path:
    """Where fetched files are kept: tinygpt in $XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinygpt"


def fetch(url: str, sha256: str, cache: checkpoint.File | None = None) -> Path:
    """The file at url, kept in the cache folder under its own name; from there where it is already.

    It is written as it comes, so that it may be larger than memory, and takes its name only when it is whole.

    Raises: ConnectionError where it cannot be had; ValueError for a file with another sha256; OSError from the disk.
    """
    file = Path(cache or cache_folder()) / url.rpartition("/")[2]
    if file.exists():
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != sha256:
            raise ValueError(f"{file} must have the sha256 {sha256}, got {found}: delete it, to fetch it again")
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    digest, length = hashlib.sha256(), 0
    with checkpoint.replacing(file) as draft:
        for chunk in _download(url, file):
            digest.update(chunk)
            length += draft.write(chunk)
        if digest.hexdigest() != sha256:
            raise ValueError(
                f"{url} must have the sha256 {sha256}, but its {length} bytes have {digest.hexdigest()}: try again"
            )
    return file


def _download(url: str, file: Path) -> Iterator[bytes]:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310  whatever kind of address: the checksum decides
            missing = int(response.headers.get("Content-Length", 0))
            while chunk := response.read(_CHUNK):
                missing -= len(chunk)
                yield chunk
        if missing > 0:
            raise ConnectionError(f"it broke off {missing} bytes before its end")
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it carries the server's answer, as an open file
        why = str(error).strip()  # a line of nonsense from a server ends as lines do
        raise ConnectionError(
            f"{url} must be there to fetch, but {why}: try again, or put the file at {file}"
        ) from error
