"""Checkpoints: what is saved comes back exactly, and what is damaged or another's changes nothing."""

from __future__ import annotations

import json
import os
import pickle
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import exactly, snapshot, write_content
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes
from optimizer_cases import CLASSES, Model, every_setting, make, step

from tinygpt import SGD, Adam, Module, Optimizer, OptimizerState, RMSProp, Tensor, checkpoint, nn, schedules

LAWS = settings(max_examples=40)
LIMITS = (np.nan, np.inf, -np.inf, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1)


def a_trained(name: str = "Adam", dtype: Any = np.float64, **setting: Any) -> Optimizer:
    """An optimizer with state for two parameters, after two updates."""
    optimizer = make(name, Model(a=np.ones(3, dtype), b=np.ones((2, 2), dtype)), **setting)
    for rate in (0.3, -0.7):
        step(optimizer, a=[rate, 0, 1], b=[[rate, 1], [2, 3]])
    return optimizer


def assert_refused(optimizer: Optimizer, source: Any, says: str, strict: bool = True) -> None:
    """Loading raises a one-line ValueError with these words, and changes nothing."""
    before = snapshot(optimizer)
    with pytest.raises(ValueError, match=says) as caught:
        optimizer.load_state(source, strict)
    assert "\n" not in str(caught.value)
    assert snapshot(optimizer) == before


def assert_damaged(file: Path) -> None:
    """The file is refused as a whole, under its name."""
    assert_refused(a_trained(), file, rf"^{file.name} must be a whole tinygpt checkpoint, but .*: save it again$")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "adam.json"


# --- values -----------------------------------------------------------------------------------------------------------

ARRAYS = arrays(
    scalar_dtypes().filter(lambda d: d.kind in "biuf" and d.itemsize <= 8), array_shapes(min_dims=0, min_side=0)
)
LEAVES = st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats() | st.text() | ARRAYS
KEYS = st.text() | st.sampled_from(["map", "tuple", "float", "array", "shape", "base64", "format", "content"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner),
    max_leaves=10,
)


@LAWS
@given(value=VALUES)
def test_every_value_comes_back_exactly(value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder) / "any.json", value)
        assert exactly(checkpoint.load(Path(folder) / "any.json")) == exactly(value)


@pytest.mark.parametrize(
    "array",
    [np.arange(12).reshape(3, 4).T, np.arange(12)[::-3], np.arange(3.0).astype(">f8"), np.broadcast_to(1.5, (2, 2))],
    ids=["transposed", "strided", "big-endian", "broadcast"],
)
def test_an_array_comes_back_whatever_its_layout_in_memory(array: Any, file: Path) -> None:
    checkpoint.save(file, array)
    assert exactly(checkpoint.load(file)) == exactly(array)


def test_a_loaded_array_may_be_written(file: Path) -> None:
    checkpoint.save(file, np.ones(3))
    assert checkpoint.load(file).flags.writeable


def test_a_nan_keeps_its_payload(file: Path) -> None:
    payload = np.array([0x7FF8DEADBEEF0001, 0xFFF0000000000001], np.uint64).view(np.float64)
    checkpoint.save(file, payload)
    assert checkpoint.load(file).tobytes() == payload.tobytes()


def test_the_file_is_plain_json_in_ascii(file: Path) -> None:
    checkpoint.save(file, {"größe": np.nan})
    assert set(json.loads(file.read_bytes().decode("ascii"))) == {"format", "version", "checksum", "content"}


def test_the_same_content_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    checkpoint.save(file, {"b": 1, "a": np.ones(2)})
    checkpoint.save(tmp_path / "again.json", {"b": 1, "a": np.ones(2)})
    assert file.read_bytes() == (tmp_path / "again.json").read_bytes()


def test_keys_come_back_in_their_order(file: Path) -> None:
    checkpoint.save(file, {"b": 1, "a": 2})
    assert list(checkpoint.load(file)) == ["b", "a"]


class Bomb:
    """Where it is unpickled, it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


NO_PLACE = {
    "tensor": (Tensor([1.0]), "a Tensor"),
    "complex": (1j, "a complex"),
    "complex array": (np.array([1j]), "an array of complex128"),
    "object array": (np.array([None]), "an array of object"),
    "words": (np.array(["a"]), "an array of <U1"),
    "long double": (np.longdouble(1), "an array of "),
    "date": (np.datetime64("2024-01-01"), "a datetime64"),
    "set": ({1}, "a set"),
    "bytes": (b"1", "a bytes"),
    "function": (print, "a builtin_function_or_method"),
    "numbered": ({1: 2.0}, "a dict"),
}


@pytest.mark.parametrize(("value", "kind"), NO_PLACE.values(), ids=NO_PLACE)
def test_a_state_that_a_checkpoint_cannot_hold_is_an_error_with_its_path(value: Any, kind: str, file: Path) -> None:
    optimizer = a_trained()
    optimizer.save_state(file)
    before = file.read_bytes()
    optimizer.state["a"]["deep"]["slot"] = [0.0, value]
    with pytest.raises(TypeError, match=rf"got {kind}.* at state\.a\.deep\.slot\.1: store an array or a number there$"):
        optimizer.save_state(file)
    assert (file.read_bytes(), os.listdir(file.parent)) == (before, [file.name])


# --- save, load, continue ---------------------------------------------------------------------------------------------


def train(model: Module, optimizer: Optimizer, steps: range) -> None:
    """Some updates of a small network, each on data of its own."""
    for i in steps:
        rng = np.random.default_rng(i)
        x, y = rng.normal(size=(8, 2)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
        optimizer.zero_grad()
        ((model(Tensor(x)) - y) ** 2).mean().backward()
        optimizer.update()


def network(dtype: Any, seed: int = 0) -> Module:
    return nn.MLP((2, 5, 1), Tensor.tanh, np.random.default_rng(seed), dtype)


def assert_continues_as_if_never_stopped(build: Callable[[Module], Optimizer], dtype: Any, folder: Path) -> None:
    model = network(dtype)
    optimizer = build(model)
    train(model, optimizer, range(5))
    model.save_weights(folder / "weights.json")
    optimizer.save_state(folder / "state.json")
    train(model, optimizer, range(5, 10))
    fresh = network(dtype, seed=1)
    continued = build(fresh)
    fresh.load_weights(folder / "weights.json")
    continued.load_state(folder / "state.json")
    train(fresh, continued, range(5, 10))
    assert snapshot(continued) == snapshot(optimizer)


@every_setting
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_to_save_load_and_continue_is_never_to_have_stopped(
    name: str, setting: dict[str, Any], dtype: Any, tmp_path: Path
) -> None:
    assert_continues_as_if_never_stopped(lambda model: make(name, model, **setting), dtype, tmp_path)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_to_continue_with_a_schedule_is_never_to_have_stopped(name: str, dtype: Any, tmp_path: Path) -> None:
    schedule = schedules.warmup(schedules.cosine(0.1, 10), 3)
    assert_continues_as_if_never_stopped(lambda m: make(name, m, learning_rate=schedule), dtype, tmp_path)


@every_setting
def test_to_continue_single_numbers_is_never_to_have_stopped(name: str, setting: dict[str, Any], file: Path) -> None:
    optimizer = make(name, Model(w=np.float32(0.3)), **setting)
    step(optimizer, w=0.7)
    optimizer.save_state(file)
    continued = make(name, Model(w=optimizer.module.w.data), **setting)
    continued.load_state(file)
    for each in (optimizer, continued):
        step(each, w=-0.2)
    assert snapshot(continued) == snapshot(optimizer)


@pytest.mark.parametrize("name", CLASSES)
def test_an_optimizer_that_has_not_begun_can_be_saved_and_loaded(name: str, file: Path) -> None:
    fresh, other = make(name, Model(w=np.ones(3))), make(name, Model(w=np.ones(3)))
    fresh.save_state(file)
    step(other, w=np.ones(3))
    other.load_state(file)
    assert (fresh.state, other.state, other.updates) == ({}, {}, 0)


def test_a_parameter_frozen_while_saving_continues_as_if_never_stopped(file: Path) -> None:
    optimizer = a_trained("SGD", momentum=0.9)
    optimizer.module.freeze("b")
    optimizer.save_state(file)
    continued = make("SGD", Model(a=optimizer.module.a.data, b=optimizer.module.b.data), momentum=0.9)
    continued.module.freeze("b")
    continued.load_state(file)
    for each in (optimizer, continued):
        each.module.unfreeze("b")
        step(each, a=np.ones(3), b=np.ones((2, 2)))
    assert snapshot(continued) == snapshot(optimizer)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_bit_of_the_state_survives(dtype: Any, file: Path) -> None:
    with np.errstate(over="ignore"):  # the largest float64 is infinity in the others
        limits = np.array(LIMITS).astype(dtype)
    optimizer = SGD(Model(w=np.ones(len(LIMITS), dtype)), 0.1, momentum=0.9)
    optimizer.state["w"]["v"] = limits
    optimizer.state["w"]["numbers"] = [float(limit) for limit in limits]
    before = exactly(optimizer.state)
    optimizer.save_state(file)
    fresh = SGD(Model(w=np.ones(len(LIMITS), dtype)), 0.1, momentum=0.9)
    fresh.load_state(file)
    assert exactly(fresh.state) == before


def test_nested_state_comes_back_as_optimizer_states(file: Path) -> None:
    optimizer = a_trained()
    optimizer.state["a"]["fast"]["m"] = np.ones(3)
    optimizer.save_state(file)
    optimizer.load_state(file)
    assert isinstance(optimizer.state["a"]["fast"], OptimizerState)
    assert isinstance(optimizer.state["b"], OptimizerState)


def test_the_file_names_class_and_every_trainable_parameter_with_its_shape(file: Path) -> None:
    model = Model(a=np.ones(3), b=np.ones((2, 2)), c=np.ones(1)).freeze("c")
    make("SGD", model).save_state(file)
    content = checkpoint.load(file)
    assert content["class"] == "SGD"
    assert {name: saved["shape"] for name, saved in content["parameters"].items()} == {"a": [3], "b": [2, 2]}


@pytest.mark.parametrize("source", ["file", "list"])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_state_of_another_precision_takes_the_parameters_dtype(
    source: str, shape: tuple[int, ...], file: Path
) -> None:
    wide, narrow = Adam(Model(w=np.ones(shape))), Adam(Model(w=np.ones(shape, np.float32)))
    step(wide, w=np.ones(shape))
    wide.save_state(file)
    narrow.load_state(file if source == "file" else wide.state.flatten())
    step(narrow, w=np.ones(shape))
    assert (narrow.state["w"]["m"].dtype, narrow.state["w"]["v"].dtype) == (np.float32, np.float32)


@pytest.mark.parametrize("name", ["état 中 λ.json", "with space.json", "no_suffix", "-dash", "%41 'quoted'.json"])
def test_any_file_name_will_do(name: str, tmp_path: Path) -> None:
    optimizer = a_trained()
    folder = tmp_path / "ein Ordner für Zustände"
    folder.mkdir()
    before = snapshot(optimizer)
    for file in (folder / name, str(folder / name)):
        optimizer.save_state(file)
        optimizer.load_state(file)
    assert snapshot(optimizer) == before
    assert os.listdir(folder) == [name]


@pytest.mark.parametrize("spell", [str, Path, os.fsencode, os.fspath], ids=lambda f: f.__name__)
def test_a_file_may_be_named_as_open_takes_it(spell: Any, tmp_path: Path) -> None:
    optimizer, file = a_trained(), spell(tmp_path / "état.json")
    before = snapshot(optimizer)
    optimizer.save_state(file)
    optimizer.load_state(file)
    assert snapshot(optimizer) == before
    assert_refused(make("SGD", Model(a=np.ones(3))), file, r"^état\.json holds the state of Adam, not of SGD$")


def test_weights_may_be_named_in_bytes(tmp_path: Path) -> None:
    module, file = Model(a=np.ones(3)), os.fsencode(tmp_path / "w.json")
    module.save_weights(file)
    module.a.data = np.zeros(3)
    module.load_weights(file)
    assert module.a.data.tolist() == [1, 1, 1]


# --- lists ------------------------------------------------------------------------------------------------------------


@every_setting
def test_what_flatten_gives_load_state_takes(name: str, setting: dict[str, Any]) -> None:
    optimizer = a_trained(name, **setting)
    fresh = make(name, Model(a=np.ones(3), b=np.ones((2, 2))), **setting)
    fresh.load_state(optimizer.state.flatten())
    assert exactly(fresh.state.flatten()) == exactly(optimizer.state.flatten())


def test_a_list_that_lacks_a_parameter_loads_where_one_says_so() -> None:
    optimizer = SGD(Model(a=np.ones(3), b=np.ones(2)), 0.1, momentum=0.9)
    step(optimizer, a=np.ones(3))
    fresh = SGD(Model(a=np.ones(3), b=np.ones(2)), 0.1, momentum=0.9)
    assert_refused(fresh, optimizer.state.flatten(), "^the list lacks b: strict=False takes what fits$")
    fresh.load_state(optimizer.state.flatten(), strict=False)
    assert exactly(fresh.state) == exactly(optimizer.state)


def test_a_list_reaches_nested_names_and_nested_slots() -> None:
    optimizer = Adam(nn.MLP((1, 2, 1), dtype=np.float64), 0.1)
    slots = [(f"{name}.fast.m", np.ones(p.shape)) for name, p in optimizer.module.named_parameters()]
    optimizer.load_state(slots)
    assert exactly(optimizer.state.flatten()) == exactly(slots)


def test_a_list_carries_no_class() -> None:
    momentum = a_trained("SGD", momentum=0.9)
    optimizer = a_trained("RMSProp")
    optimizer.load_state(momentum.state.flatten())
    assert exactly(optimizer.state) == exactly(momentum.state)


def test_an_empty_list_forgets_the_state() -> None:
    optimizer = a_trained()
    optimizer.load_state([])
    assert optimizer.state == {}


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ([("c.m", np.ones(3))], "^the list has c, which this module does not"),
        ([("a.m", np.ones(4))], r"^a must have shape \(3,\), but in the list it has \(4,\)"),
        ([("a.m", np.ones((2, 3)))], r"^a must have shape \(3,\), but in the list it has \(2, 3\)"),
        ([("layers.0.a.m", np.ones(3))], "^the list has layers.0.a, which this module does not"),
    ],
)
def test_a_list_of_other_names_or_shapes_is_refused(extra: Any, says: str) -> None:
    assert_refused(a_trained(), [("a.m", np.ones(3)), ("b.m", np.ones((2, 2))), *extra], says)


MALFORMED = {
    "no pair": ("b.v",),
    "no tuple": 1,
    "numbered": (1, 2.0),
    "a word": "b.v",
    "slot within a value": ("a.m.deep", 1.0),
}


@pytest.mark.parametrize("wrong", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_list_is_refused(wrong: Any) -> None:
    assert_refused(a_trained(), [("a.m", np.ones(3)), ("b.m", np.ones((2, 2))), wrong], "list|pair|path|slot")


def test_a_list_of_weights_is_no_state() -> None:
    optimizer = a_trained()
    weights = [(name, parameter.data) for name, parameter in optimizer.module.named_parameters()]
    assert_refused(optimizer, weights, "the list")


# --- files of others --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [True, False])
def test_a_file_of_another_optimizer_is_refused(strict: bool, file: Path) -> None:
    a_trained("Adam").save_state(file)
    assert_refused(a_trained("SGD"), file, r"^adam\.json holds the state of Adam, not of SGD$", strict)


def test_a_file_of_a_model_with_other_names_is_refused(file: Path) -> None:
    make("Adam", Model(a=np.ones(3), c=np.ones(1))).save_state(file)
    assert_refused(a_trained(), file, r"^adam\.json lacks b and has c, which this module does not")


def test_a_file_of_a_model_with_other_shapes_is_refused_though_it_has_no_state_yet(file: Path) -> None:
    make("Adam", Model(a=np.ones(3), b=np.ones((2, 3)))).save_state(file)
    assert_refused(a_trained(), file, r"^b must have shape \(2, 2\), but in adam\.json it has \(2, 3\)")


@pytest.mark.parametrize("strict", [True, False])
def test_a_file_of_weights_is_refused(strict: bool, file: Path) -> None:
    optimizer = a_trained()
    optimizer.module.save_weights(file)
    assert_refused(optimizer, file, r"^adam\.json must hold an optimizer's state, but it holds something else", strict)


def test_a_file_of_state_is_refused_as_weights(file: Path) -> None:
    optimizer = a_trained()
    optimizer.save_state(file)
    before = snapshot(optimizer)
    with pytest.raises(ValueError, match=r"^adam\.json must hold a module's weights, but it holds something else"):
        optimizer.module.load_weights(file)
    assert snapshot(optimizer) == before


# --- strict=False -----------------------------------------------------------------------------------------------------


def test_not_strict_takes_what_fits_by_name_and_shape_and_leaves_the_rest(file: Path) -> None:
    saved = make("Adam", Model(a=np.ones(3), b=np.ones(5), c=np.ones(1)))
    step(saved, a=np.full(3, 5), b=np.ones(5), c=np.ones(1))
    saved.save_state(file)
    optimizer = make("Adam", Model(a=np.ones(3), b=np.ones((2, 2)), d=np.ones(1)))
    step(optimizer, a=np.ones(3), b=np.ones((2, 2)), d=np.ones(1))
    expected = {"a": exactly(saved.state["a"]), "b": exactly(optimizer.state["b"]), "d": exactly(optimizer.state["d"])}
    optimizer.load_state(file, strict=False)
    assert {name: exactly(slots) for name, slots in optimizer.state.items()} == expected


def test_not_strict_replaces_all_slots_of_a_parameter() -> None:
    optimizer = a_trained()
    before = exactly(optimizer.state["b"])
    optimizer.load_state([("a.m", np.full(3, 7.0))], strict=False)
    assert (exactly(optimizer.state["a"]), exactly(optimizer.state["b"])) == (
        exactly(OptimizerState(m=np.full(3, 7.0))),
        before,
    )


def test_not_strict_takes_no_slot_of_a_parameter_where_one_does_not_fit() -> None:
    optimizer = a_trained()
    before = exactly(optimizer.state["a"])
    fitting = np.zeros((2, 2))
    optimizer.load_state([("a.m", np.zeros(3)), ("a.v", np.zeros(4)), ("b.m", fitting)], strict=False)
    assert exactly(optimizer.state["a"]) == before
    assert optimizer.state["b"] == {"m": fitting}


def test_not_strict_takes_nothing_from_a_model_without_common_names(file: Path) -> None:
    other = make("Adam", Model(c=np.ones(3)))
    step(other, c=np.ones(3))
    other.save_state(file)
    optimizer = a_trained()
    before = snapshot(optimizer)
    optimizer.load_state(file, strict=False)
    assert snapshot(optimizer) == before


# --- damage -----------------------------------------------------------------------------------------------------------


def test_a_file_cut_anywhere_is_refused(file: Path) -> None:
    a_trained().save_state(file)
    whole = file.read_bytes()
    for length in range(0, len(whole) - 1, 50):
        file.write_bytes(whole[:length])
        assert_damaged(file)


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80, 0xFF])
def test_a_file_with_a_flipped_byte_is_refused_or_means_the_same(flip: int, file: Path) -> None:
    optimizer = a_trained()
    optimizer.save_state(file)
    whole, content = file.read_bytes(), exactly(checkpoint.load(file))
    for position in range(0, len(whole), 3):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1 :])
        try:
            assert exactly(checkpoint.load(file)) == content
        except ValueError as error:
            assert str(error).startswith("adam.json must be a whole tinygpt checkpoint, but ")  # noqa: PT017


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "cp037"])
def test_a_file_in_another_encoding_is_refused(encoding: str, file: Path) -> None:
    a_trained().save_state(file)
    file.write_bytes(file.read_text(encoding="ascii").encode(encoding))
    assert_damaged(file)


def test_a_file_with_a_key_twice_is_refused(file: Path) -> None:
    a_trained().save_state(file)
    text = file.read_text(encoding="ascii")
    for twice in ('"format":"tinygpt",', '"version":1,'):
        file.write_text(text.replace(twice, 2 * twice), encoding="ascii")
        assert_refused(a_trained(), file, "it names the same key twice")


def test_a_file_of_a_later_version_says_so(file: Path) -> None:
    a_trained().save_state(file)
    file.write_bytes(file.read_bytes().replace(b'"version":1', b'"version":2'))
    assert_refused(a_trained(), file, "its version is 2, this package reads 1")


@pytest.mark.parametrize("version", ["1", f'"{9000 * "9"}"'])
def test_a_complaint_about_a_damaged_file_is_short(version: str, file: Path) -> None:
    write_content(file, {9000 * "a": 1})
    file.write_text(file.read_text(encoding="ascii").replace('"version": 1', f'"version": {version}'), encoding="ascii")
    with pytest.raises(ValueError, match=r"^adam\.json must be .*: save it again$") as caught:
        checkpoint.load(file)
    assert len(str(caught.value)) < 400


def test_a_changed_number_does_not_match_the_checksum(file: Path) -> None:
    a_trained().save_state(file)
    file.write_bytes(file.read_bytes().replace(b'"updates":2', b'"updates":3'))
    assert_refused(a_trained(), file, "its checksum does not match its content")


HEAD = '{"format":"tinygpt","version":1,"checksum":"0","content":'
GARBAGE = {
    "empty": b"",
    "blank": b" \n",
    "zeros": bytes(100),
    "noise": np.random.default_rng(0).bytes(1000),
    "a list": b"[]",
    "null": b"null",
    "no mark": b"{}",
    "mark alone": b'{"format":"tinygpt"}',
    "no content": b'{"format":"tinygpt","version":1}',
    "deep lists": b"[" * 100_000,
    "deep lists, closed": b"[" * 100_000 + b"]" * 100_000,
    "deep maps": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep content": f"{HEAD}{'[' * 900}{']' * 900}}}".encode(),
    "a long integer": b"1" * 10_000,
    "a long integer inside": f"{HEAD}{'1' * 10_000}}}".encode(),
    "beyond float": f"{HEAD}1e999}}".encode(),
    "nan": f"{HEAD}NaN}}".encode(),
    "infinity": f"{HEAD}-Infinity}}".encode(),
    "lone surrogate": f'{HEAD}"\\ud800"}}'.encode(),
    "two documents": b'{"format":"tinygpt"}{"format":"tinygpt"}',
    "no text": b"\xff\xfe\x00\x01",
    "zip": b"PK\x03\x04" + bytes(50),
    "npy": b"\x93NUMPY\x01\x00" + bytes(50),
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused(raw: bytes, file: Path) -> None:
    file.write_bytes(raw)
    assert_damaged(file)


def test_a_pickle_is_refused_and_not_run(file: Path, tmp_path: Path) -> None:
    file.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert_damaged(file)
    assert not (tmp_path / "exploded").exists()


def test_an_array_of_pickled_objects_is_refused_and_not_run(file: Path, tmp_path: Path) -> None:
    pickled = pickle.dumps(Bomb(tmp_path / "exploded")).hex()
    write_content(file, {"array": "|O", "shape": [1], "base64": pickled})
    assert_damaged(file)
    assert not (tmp_path / "exploded").exists()


FALSE_VALUES = {
    "map of a number": {"map": 3},
    "map of a list": {"map": [1]},
    "tuple of a number": {"tuple": 3},
    "float of a word": {"float": "fast"},
    "float of a list": {"float": [1]},
    "unknown kind": {"set": [1]},
    "no kind": {},
    "dtype is a number": {"array": 3, "shape": [], "base64": ""},
    "dtype of python objects": {"array": "|O", "shape": [1], "base64": "AAAAAAAAAAA="},
    "dtype with fields": {"array": "<f8,<f8", "shape": [1], "base64": "AAAAAAAAAAA="},
    "bytes of half a number": {"array": "<f8", "shape": [1], "base64": "AAAA"},
    "no base64": {"array": "<f8", "shape": [1], "base64": "!!!!"},
    "too few bytes": {"array": "<f8", "shape": [2], "base64": "AAAAAAAAAAA="},
    "immense shape": {"array": "<f8", "shape": [10**30], "base64": "AAAAAAAAAAA="},
    "shape of words": {"array": "<f8", "shape": ["1"], "base64": "AAAAAAAAAAA="},
    "negative shape": {"array": "<f8", "shape": [-1], "base64": "AAAAAAAAAAA="},
    "shape is a number": {"array": "<f8", "shape": 1, "base64": "AAAAAAAAAAA="},
    "no shape": {"array": "<f8", "shape": None, "base64": "AAAAAAAAAAA="},
}


@pytest.mark.parametrize("encoded", FALSE_VALUES.values(), ids=FALSE_VALUES)
def test_a_value_that_save_never_writes_is_refused_in_spite_of_its_checksum(encoded: Any, file: Path) -> None:
    write_content(file, encoded)
    assert_refused(a_trained(), file, r"^adam\.json must be a whole tinygpt checkpoint, but (?!its checksum)")


FALSE_CONTENTS: dict[str, Any] = {
    "no class": {"class": None},
    "no parameters": {"parameters": None},
    "no state": {"state": None},
    "no count": {"updates": None},
    "parameters in a list": {"parameters": []},
    "parameters without shape": {"parameters": {"a": {}, "b": {}}},
    "state in a list": {"state": []},
    "state of a parameter is a number": {"state": {"a": 3}},
    "kind is an array": {"kind": np.zeros(3)},
    "class is an array": {"class": np.zeros((2, 2))},
    "class of two lines": {"class": "Ad\nam"},
    "count is infinite": {"updates": np.inf},
    "count is not a number": {"updates": np.nan},
    "count is no whole number": {"updates": 2.5},
    "count is a word": {"updates": "2"},
    "count is an array": {"updates": np.zeros(2, int)},
    "shape is infinite": {"parameters": {"a": {"shape": [np.inf], "dtype": "float64"}}},
    "shape is no whole number": {"parameters": {"a": {"shape": [3.5], "dtype": "float64"}}},
    "shape of digits": {"parameters": {"a": {"shape": "3", "dtype": "float64"}}},
    "parameter is an array": {"parameters": {"a": np.zeros(3)}},
    "dtype is an array": {"parameters": {"a": {"shape": [3], "dtype": np.zeros(3)}, "b": {"shape": [2, 2]}}},
    "name of two lines": {"parameters": {"a\nb": {"shape": [3], "dtype": "float64"}}},
}


@pytest.mark.parametrize("changes", FALSE_CONTENTS.values(), ids=FALSE_CONTENTS)
def test_a_content_that_save_state_never_writes_is_refused(changes: dict[str, Any], file: Path) -> None:
    a_trained().save_state(file)
    content = {**checkpoint.load(file), **changes}
    checkpoint.save(file, {key: value for key, value in content.items() if value is not None})
    assert_refused(a_trained(), file, r"^adam\.json ")


# --- the disk ---------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_file_not_found(file: Path) -> None:
    optimizer = a_trained()
    before = snapshot(optimizer)
    with pytest.raises(FileNotFoundError):
        optimizer.load_state(file)
    assert snapshot(optimizer) == before


def test_saving_into_a_missing_folder_is_file_not_found_and_the_optimizer_goes_on(tmp_path: Path) -> None:
    optimizer, spared = a_trained(), a_trained()
    with pytest.raises(FileNotFoundError):
        optimizer.save_state(tmp_path / "missing" / "adam.json")
    for each in (optimizer, spared):
        step(each, a=np.ones(3), b=np.ones((2, 2)))
    assert snapshot(optimizer) == snapshot(spared)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt(), MemoryError()], ids=repr)
@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_save_that_fails_leaves_the_old_file_whole_and_no_draft(
    function: str, failure: BaseException, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer = a_trained()
    optimizer.save_state(file)
    before = file.read_bytes()
    step(optimizer, a=np.ones(3), b=np.ones((2, 2)))

    def fail(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(failure)):
        optimizer.save_state(file)
    assert (file.read_bytes(), os.listdir(file.parent)) == (before, [file.name])


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """A disk on which no file may grow beyond that size: what the system says then is what it says of a full one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_disk_that_is_full_leaves_the_old_file_whole_and_no_draft(room: int, file: Path) -> None:
    optimizer = a_trained()
    optimizer.save_state(file)
    before, state = file.read_bytes(), snapshot(optimizer)
    with pytest.raises(OSError, match="File too large"), full_disk(room):
        optimizer.save_state(file)
    assert (file.read_bytes(), os.listdir(file.parent)) == (before, [file.name])
    assert snapshot(optimizer) == state


@contextmanager
def nobody() -> Iterator[None]:
    """The rights of a user who owns nothing, for root may write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_folder_that_may_only_be_read_keeps_what_it_has_and_it_can_be_loaded() -> None:
    optimizer = a_trained()
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is hidden from other users
        file = Path(folder, "adam.json")
        optimizer.save_state(file)
        before, state = file.read_bytes(), snapshot(optimizer)
        os.chmod(folder, 0o555)
        try:
            with nobody(), pytest.raises(PermissionError):
                optimizer.save_state(file)
            with nobody():
                optimizer.load_state(file)
        finally:
            os.chmod(folder, 0o755)
        assert (file.read_bytes(), os.listdir(folder), snapshot(optimizer)) == (before, [file.name], state)


def test_the_draft_is_on_the_disk_before_it_takes_the_files_place(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for function in ("fsync", "replace"):
        original = getattr(os, function)
        monkeypatch.setattr(os, function, lambda *a, f=function, o=original: (calls.append(f), o(*a)))
    a_trained().save_state(file)
    assert calls[:2] == ["fsync", "replace"]


def test_a_draft_that_a_kill_leaves_behind_tells_whose_it_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda *_: seen.extend(os.listdir(file.parent)))
    a_trained().save_state(file)
    assert [name.startswith(".adam.json.") and name.endswith(".tmp") for name in seen] == [True]


@pytest.mark.parametrize("letter", ["a", "é", "𝔸"], ids=["one byte", "two bytes", "four bytes"])
def test_the_longest_name_a_file_may_have_will_do(letter: str, tmp_path: Path) -> None:
    name = letter * (255 // len(letter.encode()))
    a_trained().save_state(tmp_path / name)
    assert os.listdir(tmp_path) == [name]


def test_saving_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old", encoding="ascii")
    link.symlink_to(target)
    optimizer = a_trained()
    optimizer.save_state(link)
    assert link.is_symlink()
    assert exactly(checkpoint.load(target)) == exactly(checkpoint.load(link))


def test_saving_and_loading_change_neither_parameters_nor_gradients(file: Path) -> None:
    optimizer = RMSProp(Model(w=np.ones(3)), 0.1)
    step(optimizer, w=np.ones(3))
    value, gradient = optimizer.module.w.data, optimizer.module.w.grad
    optimizer.save_state(file)
    optimizer.load_state(file)
    assert optimizer.module.w.data is value
    assert optimizer.module.w.grad is gradient
