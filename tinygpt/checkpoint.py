"""Arrays and numbers to one JSON file and back: exact, atomic, and never running code.

    {"format": "tinygpt", "version": 1, "checksum": "sha256 of content", "content": …}

Inside `content` an array is {"array": its dtype, "shape": …, "base64": its bytes}, a float that JSON has no word for
{"float": "nan"}, a tuple {"tuple": […]}, a mapping {"map": {…}}. The checksum is taken over the content's one canonical
text, so a damaged file is refused as a whole.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import numpy as np

VERSION = 1
_DTYPE = re.compile(r"\|b1|\|[iu]1|<[iu][248]|<f[248]")

File = str | os.PathLike[str]


def name_of(file: File) -> str:
    """The file's name without its folder, for complaints."""
    return os.path.basename(os.fsdecode(file))


def save(file: File, content: Any) -> None:
    """Write content to file, whole or not at all: a kill in the middle leaves the old file as it was.

    It may leave a draft, `.name.….tmp`, beside it: nothing reads that, and it can be removed.

    Raises: TypeError for a value that has no place in a checkpoint, named by its path; OSError from the disk.
    """
    text = _canonical(_encode(content, ""))
    document = f'{{"format":"tinygpt","version":{VERSION},"checksum":"{_checksum(text)}","content":{text}}}\n'
    with replacing(file) as draft:
        draft.write(document.encode("ascii"))


@contextmanager
def replacing(file: File) -> Iterator[BinaryIO]:
    """A draft to write to, which takes the file's place when the block ends well, and is gone when it does not."""
    target = os.path.realpath(os.fsdecode(file))  # a link keeps pointing where it points
    folder, name = os.path.split(target)
    draft = os.path.join(folder, f".{name[:50]}.{os.urandom(8).hex()}.tmp")  # cut, for a name has at most 255 bytes
    try:
        with open(draft, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.remove(draft)
        raise


def load(file: File) -> Any:
    """Read what `save` wrote.

    Raises: ValueError for anything else than a whole file of this format and version; OSError from the disk.
    """
    name = name_of(file)
    with open(file, "rb") as stream:
        raw = stream.read()
    try:
        document = json.loads(raw.decode("ascii"), object_pairs_hook=_no_duplicates)
        if not isinstance(document, dict) or document.get("format") != "tinygpt":
            raise ValueError("it has no tinygpt format mark")
        if document.get("version") != VERSION:
            raise ValueError(f"its version is {document.get('version')!r}, this package reads {VERSION}")
        if document.get("checksum") != _checksum(_canonical(document.get("content"))):
            raise ValueError("its checksum does not match its content")
        return _decode(document["content"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{name} must be a whole tinygpt checkpoint, but {error!s:.200}: save it again") from error


def _canonical(encoded: Any) -> str:
    return json.dumps(encoded, allow_nan=False, separators=(",", ":"))


def _checksum(text: str) -> str:
    import hashlib  # here, for it loads a library of cryptography: a quarter of the time of importing tinygpt

    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _encode(value: Any, path: str) -> Any:
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        value = np.asarray(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        if _DTYPE.fullmatch(little.dtype.str):
            data = base64.b64encode(little.tobytes()).decode("ascii")
            return {"array": little.dtype.str, "shape": list(value.shape), "base64": data}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"map": {key: _encode(item, f"{path}.{key}" if path else key) for key, item in value.items()}}
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, f"{path}.{i}") for i, item in enumerate(value)]}
    if isinstance(value, list):
        return [_encode(item, f"{path}.{i}") for i, item in enumerate(value)]
    kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise TypeError(
        f"a checkpoint holds numbers, strings, arrays, lists and mappings with string keys, got {kind} at {path}: "
        "store an array or a number there"
    )


def _decode(encoded: Any) -> Any:
    if isinstance(encoded, list):
        return [_decode(item) for item in encoded]
    if not isinstance(encoded, dict):
        return encoded
    if encoded.keys() == {"map"}:
        return {key: _decode(item) for key, item in encoded["map"].items()}
    if encoded.keys() == {"tuple"}:
        return tuple(_decode(item) for item in encoded["tuple"])
    if encoded.keys() == {"float"}:
        return float(encoded["float"])
    if encoded.keys() == {"array", "shape", "base64"} and _DTYPE.fullmatch(encoded["array"]):
        flat = np.frombuffer(base64.b64decode(encoded["base64"], validate=True), encoded["array"])
        array = flat.reshape(encoded["shape"]).astype(flat.dtype.newbyteorder("="))
        if list(array.shape) != encoded["shape"]:  # reshape takes -1, 3 and None, which save never writes
            raise ValueError(f"it holds an array whose shape is {encoded['shape']!r}")
        return array[()]  # a scalar for zero dimensions
    raise ValueError(f"it holds an unknown kind of value with the keys {sorted(encoded)}")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("it names the same key twice")
    return members
