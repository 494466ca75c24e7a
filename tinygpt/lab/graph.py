"""Graph: the tape that a small expression leaves, node by node, and backward's walk over it, stage by stage.

The walk is that of `Tensor.backward`: from the youngest node to the oldest, by the very vjps that lie on the tape. Here
it writes down what flowed where, and frees nothing.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from inspect import getclosurevars
from operator import add
from typing import Any

import numpy as np

from tinygpt import ops
from tinygpt.lab import words
from tinygpt.tensor import Tensor, _match

MOST_NODES = 30  # of more, nobody reads the picture

SYMBOLS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "power": "^", "matmul": "@"}
ONE_OPERAND = {"negative": "−{}", "square": "{}²", "sqrt": "√{}"}


@dataclass(frozen=True)
class Node:
    """One tensor on the tape.

    `formula` says how it was made from its sources ("" for a leaf), with the plain numbers among its operands where
    the tape knows them, and `operation` says so without the sources' names; `sources` are their places in the graph.
    """

    name: str
    operation: str
    formula: str
    value: Any
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Flow:
    """What one node's gradient becomes on its way to one of its sources: `gradient` = node's gradient · `slope`.

    `slope` is the source's share where the node's gradient is 1: the local derivative, for single numbers.
    """

    node: int
    source: int
    slope: Any
    gradient: Any


@dataclass(frozen=True)
class Graph:
    """The nodes in the order of their birth, and backward's walk: the flows out of each result, the youngest first.

    Stage 0 knows values only; at stage 1 the last node receives 1; at each later stage one result passes its gradient
    on; at the last stage, `stages`, every leaf has its own.
    """

    nodes: tuple[Node, ...]
    walk: tuple[tuple[Flow, ...], ...]

    @property
    def stages(self) -> int:
        """The number of the last stage."""
        return len(self.walk) + 1

    def flows(self, stage: int) -> tuple[Flow, ...]:
        """What flows at a stage."""
        return self.walk[stage - 2] if stage >= 2 else ()

    def arrived(self, stage: int) -> dict[int, list[Any]]:
        """The gradients that have come to each node by a stage, one for every use of it, in the order they came."""
        found: dict[int, list[Any]] = {}
        if stage >= 1:
            found[len(self.nodes) - 1] = [np.ones_like(self.nodes[-1].value)]
        for flows in self.walk[: max(stage - 1, 0)]:
            for flow in flows:
                found.setdefault(flow.source, []).append(flow.gradient)
        return found

    def completed(self, node: int) -> int:
        """The stage at which the last part of a node's gradient comes to it."""
        return max((i + 2 for i, flows in enumerate(self.walk) if any(f.source == node for f in flows)), default=1)

    def gradients(self, stage: int) -> dict[int, Any]:
        """The gradient of each node as far as it is known by a stage: a node that is used twice adds up both."""
        return {i: reduce(add, parts) for i, parts in self.arrived(stage).items()}


def twice(x: Tensor, y: Tensor) -> Tensor:
    """x y + tanh y: y is used twice."""
    return x * y + y.tanh()


@np.errstate(all="ignore")  # the graph shows what became infinite, or no number
def trace(function: Callable[..., Tensor], **values: Any) -> Graph:
    """Run a function of named tensors, and read the tape it leaves.

    Raises: TypeError unless the function returns a Tensor; ValueError unless that is a single number made from the
    values, by no more than MOST_NODES nodes.
    """
    leaves = {name: Tensor(np.array(value, float), requires_grad=True) for name, value in values.items()}
    result = function(**leaves)
    if not isinstance(result, Tensor):
        raise TypeError(f"the expression must give a Tensor, got {type(result).__name__}: use Tensor operations alone")
    if result.ndim or not result.requires_grad:
        found = f"shape {result.shape}" if result.ndim else "a constant"
        raise ValueError(f"the expression must give a single number made from its values, got {found}: take .sum()")
    tensors = _on_the_tape(result)
    if len(tensors) > MOST_NODES:
        raise ValueError(f"a graph must have at most {MOST_NODES} nodes, got {len(tensors)}: take a smaller expression")
    return Graph(_nodes(tensors, leaves), _walk(tensors))


def _on_the_tape(result: Tensor) -> list[Tensor]:
    """The tensors that a result was made from, itself the last: births count downwards."""
    found, waiting = {id(result): result}, [result]
    while waiting:
        for source, _ in waiting.pop()._sources or ():
            if id(source) not in found:
                found[id(source)] = source
                waiting.append(source)
    return sorted(found.values(), key=lambda tensor: -tensor._birth)


def _nodes(tensors: list[Tensor], leaves: Mapping[str, Tensor]) -> tuple[Node, ...]:
    """Leaves have the names they were given, results letters in the order of their birth."""
    given = {id(leaf): name for name, leaf in leaves.items()}
    letters = (letter for letter in string.ascii_letters if letter not in leaves)
    names = [given.get(id(tensor)) or next(letters) for tensor in tensors]
    places = {id(tensor): i for i, tensor in enumerate(tensors)}
    nodes = []
    for name, tensor in zip(names, tensors, strict=True):
        sources = tuple(places[id(source)] for source, _ in tensor._sources or ())
        rule = _rule(tensor)
        operation = _formula(rule, tensor, [""] * len(sources)).strip(" (),")
        formula = _formula(rule, tensor, [names[i] for i in sources])
        nodes.append(Node(name, operation, formula, tensor.data, sources))
    return tuple(nodes)


def _walk(tensors: list[Tensor]) -> tuple[tuple[Flow, ...], ...]:
    """Backward, once more: every tensor's whole gradient is there when the walk comes to it."""
    places = {id(tensor): i for i, tensor in enumerate(tensors)}
    gradients: dict[int, Any] = {len(tensors) - 1: np.ones_like(tensors[-1].data)}
    walk = []
    for node in reversed(range(len(tensors))):
        tensor, flows = tensors[node], []
        for source, vjp in tensor._sources or ():
            slope, flow = (_match(vjp(g), source.data) for g in (np.ones_like(tensor.data), gradients[node]))
            place = places[id(source)]
            gradients[place] = gradients[place] + flow if place in gradients else flow
            flows.append(Flow(node, place, slope, flow))
        if flows:
            walk.append(tuple(flows))
    return tuple(walk)


def _rule(tensor: Tensor) -> str:
    """The name of the rule that made a tensor: a vjp is a function written inside its rule."""
    if not tensor._sources:
        return ""
    path = tensor._sources[0][1].__qualname__.split(".<locals>.")
    return next((name for name in path if hasattr(ops, name)), path[-2:][0])


def _formula(rule: str, tensor: Tensor, names: list[str]) -> str:
    """How a tensor was made, in the letters of its sources."""
    symbol = SYMBOLS.get(rule)
    if rule in ONE_OPERAND:
        return ONE_OPERAND[rule].format(*names)
    if symbol and len(names) == 2:
        return f"{names[0]} {symbol} {names[1]}"
    if symbol and (sides := _with_number(rule, tensor, names[0])):
        return f"{sides[0]} {symbol} {sides[1]}"
    return f"{rule}({', '.join(names)})" if names else ""


def _with_number(rule: str, tensor: Tensor, name: str) -> tuple[str, str] | None:
    """Both sides of an operation whose other operand is a plain number, which only its vjp remembers.

    A sum remembers neither side: value = slope · x + number says it.
    """
    ((source, vjp),) = tensor._sources or ()
    x, value = source.data, tensor.data
    numbers = {key: v for key, v in getclosurevars(vjp).nonlocals.items() if key in ("x", "y") and v is not x}
    if rule in ("add", "subtract"):
        slope = vjp(np.ones_like(value))
        rest = np.asarray(value - slope * x)
        numbers = {"x": rest} if np.all(slope < 0) else {"y": rest if rule == "add" else -rest}
    elif rule == "divide" and not numbers:
        numbers = {"x": value * x}
    if len(numbers) != 1 or any(np.ndim(number) for number in numbers.values()):
        return None
    ((side, number),) = numbers.items()
    told = words.number(number)
    return (told, name) if side == "x" else (name, told)
