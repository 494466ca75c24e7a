"""Saved files, damaged or forged in every way we could think of, and what loading one of them may do."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from optimizer_cases import Model, make, step

from tinygpt import Module, Optimizer, Tensor, checkpoint

# --- damage: bytes change, and the checksum with them does not -------------------------------------------------------

HARD_NUMBERS = ["1e999", "-1e999", "1e-999", "NaN", "-Infinity", "-0", "00", "1.", "1_0", "0x1", "1e", "--1", "null"]
HARD_NUMBERS += ["9" * 30, "9" * 5000, "-9223372036854775809", "18446744073709551616", "0." + "1" * 400, "true", '"1"']


def cut(raw: bytes, rng: Random) -> bytes:
    return raw[: rng.randrange(len(raw) - 1)]  # without its newline it would be whole


def lose(raw: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(raw))
    return raw[:start] + raw[start + rng.choice([1, 2, 10, 100]) :]


def flip(raw: bytes, rng: Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(rng.choice([1, 1, 1, 2, 10, 100])):
        changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(raw: bytes, rng: Random) -> bytes:
    start, length = rng.randrange(len(raw)), rng.choice([1, 8, 64])
    return raw[:start] + rng.choice([rng.randbytes(length), bytes(length), b" " * length]) + raw[start + length :]


def insert(raw: bytes, rng: Random) -> bytes:
    extra = [rng.randbytes(3), b"\x00", b"\n", b" ", b"{", b"]", b"\\u0000", b"\xef\xbb\xbf"]
    extra += [b"[" * 3000, b'{"a":' * 3000]
    start = rng.randrange(len(raw))
    return raw[:start] + rng.choice(extra) + raw[start:]


def repeat(raw: bytes, rng: Random) -> bytes:
    start, length = rng.randrange(len(raw)), rng.choice([1, 10, len(raw)])
    return raw[: start + length] + raw[start:]


def twice(raw: bytes, rng: Random) -> bytes:
    """One of the keys, twice."""
    key = rng.choice([b'"format":"tinygpt",', b'"version":1,', b'"updates":2,', b'"kind":"weights",', b'"shape":'])
    return raw.replace(key, key * 2, 1)


def number(raw: bytes, rng: Random) -> bytes:
    """A number that is none, or too large for everyone."""
    places = [i for i in range(1, len(raw)) if raw[i : i + 1].isdigit() and raw[i - 1 : i] in b":,["]
    place = rng.choice(places)
    return raw[:place] + rng.choice(HARD_NUMBERS).encode() + raw[place + 1 :]


def encode(raw: bytes, rng: Random) -> bytes:
    return raw.decode("ascii").encode(rng.choice(["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7", "cp037"]))


def reformat(raw: bytes, rng: Random) -> bytes:
    """Means the same: other spaces, keys in another order, letters spelt as escapes."""
    document = json.loads(raw)
    document = dict(rng.sample(list(document.items()), len(document)))
    return json.dumps(document, indent=rng.choice([None, 1, "\t"])).replace("A", "\\u0041").encode("ascii")


DAMAGES = [cut, lose, flip, overwrite, insert, repeat, twice, number, encode, reformat]


def damaged(raw: bytes, rng: Random) -> bytes:
    for _ in range(rng.choice([1, 1, 2])):
        try:
            raw = rng.choice(DAMAGES)(raw, rng)
        except (
            ValueError,
            IndexError,
            AttributeError,
            RecursionError,
        ):  # it is damaged so much already that this cannot be done to it
            continue
    return raw


# --- forgery: the content changes, and the checksum with it ----------------------------------------------------------


def an_array(dtype: Any, shape: Any, data: str = "AAAAAAAAAAA=") -> Any:
    return {"array": dtype, "shape": shape, "base64": data}


SHAPES: list[Any] = [[], [1], [-1], [0, -1], [2], 1, None, [True], ["1"], [1.0], [[1]], [1] * 70]
SHAPES += [[10**9] * 3, [2**62, 4], [0, 2**40]]
DTYPES = ["<f8", ">f8", "|O", "<c8", "|V8", "<U2", "|S8", "<M8[s]", "|b1", "<f8,<i4", "f8", "", 8, None, ["<f8"]]
DATA = ["AAAAAAAAAAA=", "", "A", "====", "!!!!", "AAAA\n", "AAAA" * 5000, 1, None, "é"]
HARD_VALUES: list[Any] = [
    *[None, True, False, 0, -1, 3, 2**63, -(10**30), 10**400, 1e300, -0.0, 2.5],
    *["", "Adam", "a\nb", "x" * 100, "\x00", "é"],
    *[[], [1, 2], [[]], [[1], [1, 2]], {}, {"map": {}}, {"map": {"a": 1}}, {"map": {"a\nb": {"map": {}}}}, {"map": []}],
    *[{"tuple": []}, {"tuple": [1]}, {"tuple": 1}, {"map": {}, "tuple": []}, {"set": []}, {"map": {"": {"map": {}}}}],
    *[{"float": text} for text in ("nan", "inf", "-inf", "1e400", "fast", "", "0x1p3", None, True, [])],
    *[an_array("<f8", shape) for shape in SHAPES],
    *[an_array(dtype, [1]) for dtype in DTYPES],
    *[an_array("<f8", [1], data) for data in DATA],
    *[an_array("|u1", [8]), an_array("<i8", []), an_array("<f2", [2, 2])],
]


def nested(depth: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {kind: [value]} if kind == "tuple" else {"map": {"a": value}}
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a JSON value one can change something."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def forged(encoded: Any, rng: Random) -> Any:
    """An encoded content in which something has another value, is nested deeply, is missing or has another name."""
    if rng.random() < 0.1:
        return rng.choice(HARD_VALUES)
    copy = json.loads(json.dumps(encoded))
    *way, key = rng.choice([path for path in places(copy) if path])
    holder = copy
    for part in way:
        holder = holder[part]
    what = rng.random()
    if what < 0.7:
        holder[key] = rng.choice(HARD_VALUES)
    elif what < 0.8:
        holder[key] = nested(rng.choice([10, 100, 300]), rng.choice(["list", "tuple", "map"]))
    elif what < 0.9 or isinstance(holder, list):
        del holder[key]
    else:
        holder[rng.choice(["a", "b", "m", "zero", "a.b", "_a", "", "a\nb"])] = holder.pop(key)
    return copy


def write_content(file: Path, encoded: Any) -> None:
    """A file of our format with a correct checksum, whatever its content."""
    text = json.dumps(encoded, separators=(",", ":"))
    checksum = checkpoint._checksum(text)
    file.write_text(f'{{"format":"tinygpt","version":1,"checksum":"{checksum}","content":{text}}}', encoding="ascii")


# --- what may happen -------------------------------------------------------------------------------------------------


def exactly(value: Any) -> Any:
    """Something that is equal only where type, dtype, shape and every bit are."""
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        return array.dtype.newbyteorder("=").str, array.shape, array.astype(array.dtype.newbyteorder("=")).tobytes()
    if isinstance(value, dict):
        return type(value), {key: exactly(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [exactly(item) for item in value]
    return type(value), repr(value)


def snapshot(optimizer: Optimizer) -> Any:
    """All that a load could change."""
    parameters = {name: parameter.data for name, parameter in optimizer.module.named_parameters()}
    return exactly([parameters, optimizer.state, optimizer.updates])


LONGEST_COMPLAINT = 1000  # letters: a name or a shape may be long, a file never is quoted

_watching: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    reads = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if _watching is not None and not reads and event != "builtins.id":
        _watching.append(f"{event} {arguments}")


sys.addaudithook(_watch)  # which Python offers no way to remove


@contextmanager
def reading_only() -> Iterator[None]:
    """Nothing but reading a file: no import, no code, no process, nothing written."""
    global _watching
    _watching = []
    try:
        yield
        assert _watching == [], _watching
    finally:
        _watching = None


@contextmanager
def little_memory() -> Iterator[None]:
    """No more than a quarter of a gigabyte beyond what is in use: a file that wants more raises MemoryError."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**28, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def is_loaded(load: Callable[[Path], None], file: Path, snapshot: Callable[[], Any]) -> bool:
    """Whether the file was loaded; else it was refused in one line that names it, and nothing had changed."""
    before = snapshot()
    try:
        with reading_only():
            load(file)
    except ValueError as error:
        complaint = str(error)
    else:
        return True
    assert file.name in complaint, complaint
    assert complaint.isprintable(), complaint  # one line
    assert len(complaint) <= LONGEST_COMPLAINT
    assert snapshot() == before
    return False


# --- tries -----------------------------------------------------------------------------------------------------------


def optimizer() -> Optimizer:
    """Two updates old, with a parameter of no dimensions and one in another precision."""
    model = Model(zero=0.5, a=np.ones(3, np.float32), b=np.ones((2, 2)))
    made = make("Adam", model)
    for rate in (0.3, -0.7):
        step(made, zero=rate, a=[rate, 0, 1], b=[[rate, 1], [2, 3]])
    return made


class Weights(Module):
    """Parameters of several kinds."""

    def __init__(self) -> None:
        self.a = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
        self.layers = [Tensor([0.5], requires_grad=True), Tensor(3), Tensor([True, False]), Tensor(0.25)]


def try_damage_to_a_state(file: Path, rng: Random, tries: int) -> None:
    saved = optimizer()
    saved.save_state(file)
    raw, expected = file.read_bytes(), snapshot(saved)
    for _ in range(tries):
        file.write_bytes(damaged(raw, rng))
        if is_loaded(saved.load_state, file, lambda: snapshot(saved)):
            assert snapshot(saved) == expected


def try_damage_to_weights(file: Path, rng: Random, tries: int) -> None:
    module = Weights()
    module.save_weights(file)
    raw, expected = file.read_bytes(), values(module)
    for _ in range(tries):
        file.write_bytes(damaged(raw, rng))
        if is_loaded(module.load_weights, file, lambda: values(module)):
            assert values(module) == expected


def try_forgery_of_a_state(file: Path, rng: Random, tries: int) -> None:
    saved = optimizer()
    saved.save_state(file)
    encoded = checkpoint._encode(checkpoint.load(file), "")
    for _ in range(tries):
        write_content(file, forged(encoded, rng))
        strict = rng.random() < 0.5
        if is_loaded(lambda f: saved.load_state(f, strict), file, lambda: snapshot(saved)):  # noqa: B023 — called at once
            if strict:
                require_the_state_of(file, saved)
            saved = optimizer()


def try_forgery_of_weights(file: Path, rng: Random, tries: int) -> None:
    module = Weights()
    module.save_weights(file)
    encoded = checkpoint._encode(checkpoint.load(file), "")
    for _ in range(tries):
        write_content(file, forged(encoded, rng))
        strict = rng.random() < 0.5
        if is_loaded(lambda f: module.load_weights(f, strict), file, lambda: values(module)):  # noqa: B023
            require_the_weights_of(file, module)
            module = Weights()


def require_the_weights_of(file: Path, loaded: Module) -> None:
    """Every parameter that the file speaks of, in that shape, has the value it says, in the dtype it had."""
    said = checkpoint.load(file)["weights"]
    for (name, p), (_, before) in zip(loaded.named_parameters(), Weights().named_parameters(), strict=True):
        value = np.asarray(said.get(name, before.data))
        expected = value if value.shape == before.shape else before.data
        assert exactly(p.data) == exactly(expected.astype(before.dtype)[()])


def values(module: Module) -> Any:
    return exactly({name: parameter.data for name, parameter in module.named_parameters()})


def require_the_state_of(file: Path, loaded: Optimizer) -> None:
    """What was loaded is what the file says: saved again, it says the same."""
    said = checkpoint.load(file)
    loaded.save_state(file)
    again = checkpoint.load(file)
    assert (exactly(again["state"]), again["updates"]) == (exactly(said["state"]), said["updates"])


ATTEMPTS = [try_damage_to_a_state, try_damage_to_weights, try_forgery_of_a_state, try_forgery_of_weights]
