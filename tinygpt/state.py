"""What an optimizer remembers, and how that is read back from a file or a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygpt.tensor import Tensor

KIND = "optimizer state"


class OptimizerState(dict[str, Any]):
    """What an optimizer remembers: a dict of dicts that come into being when they are first read.

    `state["layers.0.weight"]["m"]` needs no set-up, and `.get` remembers the default that it returns.
    """

    def __missing__(self, key: str) -> OptimizerState:
        self[key] = OptimizerState()
        return self[key]  # type: ignore[no-any-return]

    def get(self, key: str, default: Any = None) -> Any:
        """The value at key; where there is none, the default, which is stored."""
        return self.setdefault(key, default)

    def copy(self) -> OptimizerState:
        """The same values under the same paths: mappings and lists are copied, arrays shared, for none is written."""
        return _copied(self)  # type: ignore[no-any-return]

    def flatten(self) -> list[tuple[str, Any]]:
        """Every value with its path: `[("layers.0.weight.m", array), …]`."""
        return list(_leaves(self, ""))


class SavedState(NamedTuple):
    """A state that was read: where from, the slots, the shapes of the parameters they belong to, the count of updates.

    A list does not know the count: None.
    """

    source: str
    state: OptimizerState
    shapes: dict[str, tuple[int, ...]]
    updates: int | None


def state_content(name: str, updates: int, state: OptimizerState, own: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a file keeps of an optimizer of that class name; `own` are its module's parameters.

    Every trainable parameter is listed, and those frozen ones that still have a state.
    """
    listed = {n: p for n, p in own.items() if p.requires_grad or n in state}
    parameters = {n: {"shape": list(p.shape), "dtype": p.dtype.name} for n, p in listed.items()}
    return {"kind": KIND, "class": name, "updates": updates, "parameters": parameters, "state": state}


def read_state(source: str, content: Any, name: str, own: Mapping[str, Tensor]) -> SavedState:
    """What `state_content` gave, if it is the state of that class; in the precision of the parameters it now serves.

    `source` is the name of the file that it comes from.

    Raises: ValueError for anything else.
    """
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise ValueError(f"{source} must hold an optimizer's state, but it holds something else: pick another file")
    if content.get("class") != name:
        raise ValueError(f"{source} holds the state of {content.get('class')}, not of {name}")
    try:
        parameters, state = content["parameters"], _restored(content["state"])
        shapes = {n: tuple(int(length) for length in saved["shape"]) for n, saved in parameters.items()}
        for n, saved in parameters.items():
            if n in own and n in state and saved["dtype"] != own[n].dtype.name:
                state[n] = _converted(state[n], own[n].dtype)
        return SavedState(source, state, shapes, int(content["updates"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{source} must be as save_state writes it, but its content is not: save it again") from error


def read_state_list(weights: Any, own: Mapping[str, Tensor]) -> SavedState:
    """A flat list of (path, value), each path a parameter's name and a slot: what `flatten` gives.

    Raises: ValueError for anything else.
    """
    state = OptimizerState()
    for item in weights if isinstance(weights, (list, tuple)) else [weights]:
        if not (isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[0], str) and "." in item[0]):
            raise ValueError(f"the list must hold pairs (parameter.slot, value), got {item!r}: see state.flatten()")
        path, value = item
        name = next((n for n in own if path.startswith(n + ".")), path.rpartition(".")[0])
        slots: Any = state[name]
        *groups, slot = path.removeprefix(name + ".").split(".")
        for group in groups:
            slots = slots[group]
        if not isinstance(slots, OptimizerState) or path in own:
            raise ValueError(
                f"the list must hold slots, but {path} lies inside of one, or is a weight: see state.flatten()"
            )
        slots[slot] = value.data if isinstance(value, Tensor) else value
    for name in state.keys() & own.keys():
        state[name] = _converted(state[name], own[name].dtype)
    shapes = {n: _shape(slots, own[n].shape) if n in own else () for n, slots in state.items()}
    return SavedState("the list", state, shapes, None)


def _leaves(state: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in state.items():
        if isinstance(value, OptimizerState):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _restored(content: dict[str, Any]) -> OptimizerState:
    """Plain mappings as the OptimizerStates they were."""
    return OptimizerState({key: _restored(v) if isinstance(v, dict) else v for key, v in content.items()})


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return type(value)({key: _copied(item) for key, item in value.items()})
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _converted(value: Any, dtype: Any) -> Any:
    """The floating arrays of a state in another precision."""
    if isinstance(value, OptimizerState):
        return OptimizerState({key: _converted(item, dtype) for key, item in value.items()})
    if isinstance(value, (np.ndarray, np.floating)) and value.dtype.kind == "f":
        return value.astype(dtype, copy=False)
    return value


def _shape(slots: OptimizerState, expected: tuple[int, ...]) -> tuple[int, ...]:
    """The parameter's shape as its slots tell it: that of the first array which does not broadcast against it."""
    for _, value in slots.flatten():
        shape = tuple(np.shape(value))
        try:
            fits = np.broadcast_shapes(shape, expected) == expected
        except ValueError:
            fits = False
        if not fits:
            return shape
    return expected
