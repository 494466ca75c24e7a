"""The graph: what the tape holds, and that the walk over it is backward's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygpt import Tensor
from tinygpt.lab.graph import MOST_NODES, Graph, trace, twice
from tinygpt.tensor import apply

EXPRESSIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "twice": (twice, {"x": 2.0, "y": -1.0}),
    "square by itself": (lambda x: x * x, {"x": 3.0}),
    "neuron": (lambda w, x, b, y: ((w * x + b).tanh() - y) ** 2, {"w": 0.5, "x": -1.2, "b": 0.3, "y": 1.0}),
    "diamond": (lambda x: (x * 2).exp() * (x + 1).log() - x, {"x": 0.7}),
    "fractions": (lambda x, y: 3 / x + x / y - y / 4 + 2**x + x**y, {"x": 1.5, "y": 2.5}),
    "arrays": (lambda w, x: ((w * x).sum() - 1) ** 2, {"w": [1.0, 2.0], "x": [3.0, -4.0]}),
    "broadcast": (lambda w, b: (w + b).mean() * b, {"w": [[1.0, 2.0], [3.0, 4.0]], "b": 0.5}),
    "matrices": (lambda w, x: (w @ x).relu().sum(), {"w": [[1.0, -2.0], [3.0, 4.0]], "x": [0.5, 1.5]}),
    "stacked": (lambda x, y: Tensor.stack([x, y, x]).softmax()[1], {"x": 0.2, "y": 0.9}),
    "leaf": (lambda x: x, {"x": 2.0}),
    "unused": (lambda x, y: x + 1, {"x": 2.0, "y": 5.0}),
}
every_expression = pytest.mark.parametrize("name", EXPRESSIONS)


def traced(name: str) -> Graph:
    function, values = EXPRESSIONS[name]
    return trace(function, **values)


def by_backward(name: str) -> dict[str, Any]:
    """The gradients that Tensor.backward leaves in the leaves."""
    function, values = EXPRESSIONS[name]
    leaves = {key: Tensor(np.array(value), requires_grad=True) for key, value in values.items()}
    function(**leaves).backward()
    return {key: leaf.grad for key, leaf in leaves.items() if leaf.grad is not None}


def formulas(function: Any, **values: float) -> list[str]:
    return [node.formula for node in trace(function, **values).nodes if node.sources]


# --- the walk ---------------------------------------------------------------------------------------------------------


@every_expression
def test_the_walk_ends_with_what_backward_leaves_bit_for_bit(name: str) -> None:
    graph = traced(name)
    gradients = graph.gradients(graph.stages)
    found = {node.name: gradients[i] for i, node in enumerate(graph.nodes) if not node.sources}
    expected = by_backward(name)
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        np.testing.assert_array_equal(found[key], gradient)


@every_expression
def test_every_node_is_born_after_its_sources(name: str) -> None:
    assert all(source < i for i, node in enumerate(traced(name).nodes) for source in node.sources)


@every_expression
def test_every_use_of_a_node_sends_one_gradient_to_it(name: str) -> None:
    graph = traced(name)
    uses = [source for node in graph.nodes for source in node.sources]
    arrived = graph.arrived(graph.stages)
    assert all(len(arrived[i]) == uses.count(i) for i in range(len(graph.nodes) - 1))


@every_expression
def test_a_node_passes_on_only_when_its_own_gradient_is_whole(name: str) -> None:
    graph = traced(name)
    for stage in range(2, graph.stages + 1):
        passing = {flow.node for flow in graph.flows(stage)}
        assert len(passing) == 1
        assert graph.completed(passing.pop()) < stage


@every_expression
def test_the_stage_that_completes_a_node_is_the_last_that_changes_it(name: str) -> None:
    graph = traced(name)
    for i in range(len(graph.nodes)):
        parts = [len(graph.arrived(stage).get(i, ())) for stage in range(graph.stages + 1)]
        assert parts.index(parts[-1]) == graph.completed(i)


@pytest.mark.parametrize("name", ["twice", "square by itself", "neuron", "diamond", "fractions"])
def test_what_flows_is_the_nodes_gradient_times_the_slope(name: str) -> None:
    graph = traced(name)
    for stage in range(2, graph.stages + 1):
        for flow in graph.flows(stage):
            assert flow.gradient == pytest.approx(graph.gradients(stage)[flow.node] * flow.slope, rel=1e-15)


def test_the_stages_of_an_expression_are_its_results_and_the_beginning() -> None:
    graph = traced("twice")
    told = [{graph.nodes[i].name: len(g) for i, g in graph.arrived(stage).items()} for stage in range(5)]
    assert told == [
        {},
        {"c": 1},
        {"c": 1, "a": 1, "b": 1},
        {"c": 1, "a": 1, "b": 1, "y": 1},
        {"c": 1, "a": 1, "b": 1, "y": 2, "x": 1},
    ]


def test_a_node_used_twice_adds_both_gradients() -> None:
    graph = traced("square by itself")
    assert graph.arrived(2)[0] == [3.0, 3.0]
    assert graph.gradients(2)[0] == 6.0


def test_leaving_one_of_two_gradients_out_is_wrong() -> None:
    graph = traced("twice")
    exact = by_backward("twice")["y"]
    assert all(part != pytest.approx(exact) for part in graph.arrived(graph.stages)[1])


def test_tracing_leaves_the_arrays_it_is_given_alone() -> None:
    w = np.array([1.0, 2.0])
    trace(lambda w: (w * w).sum(), w=w)
    assert w.tolist() == [1, 2]


# --- names and formulas -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "formula"),
    [
        (lambda x: x + 3, "x + 3"),
        (lambda x: 3 + x, "x + 3"),
        (lambda x: x - 3, "x − 3"),
        (lambda x: 3 - x, "3 − x"),
        (lambda x: x * -3, "x × −3"),
        (lambda x: 3 * x, "3 × x"),
        (lambda x: x / 4, "x ÷ 4"),
        (lambda x: 4 / x, "4 ÷ x"),
        (lambda x: x**3, "x ^ 3"),
        (lambda x: 3**x, "3 ^ x"),
        (lambda x: x * x, "x × x"),
        (lambda x: x**2, "x²"),
        (lambda x: -x, "−x"),
        (lambda x: x.sqrt(), "√x"),
        (lambda x: x.tanh(), "tanh(x)"),
        (lambda x: abs(x), "absolute(x)"),
        (lambda x: x.maximum(x), "maximum(x, x)"),
        (lambda x: np.exp(x), "exp(x)"),
    ],
)
@pytest.mark.parametrize("value", [0.7, 2.0, 3.0])
def test_formulas_say_how_a_node_was_made_with_its_plain_numbers(function: Any, formula: str, value: float) -> None:
    assert formulas(function, x=value) == [formula]


def test_operations_are_formulas_without_names() -> None:
    graph = trace(lambda x, y: ((x * y - 1) / 2).tanh().maximum(y), x=1.0, y=2.0)
    assert [node.operation for node in graph.nodes if node.sources] == ["×", "− 1", "÷ 2", "tanh", "maximum"]


def test_results_have_letters_that_no_value_has() -> None:
    graph = trace(lambda a, c: (a * c).exp().log(), a=1.0, c=2.0)
    assert [node.name for node in graph.nodes] == ["a", "c", "b", "d", "e"]


def test_a_readers_own_rule_is_called_by_its_name() -> None:
    def cube(x: Any) -> Any:
        return x * x * x, (lambda g: 3 * g * x * x,)

    graph = trace(lambda x: apply(cube, x), x=2.0)
    assert graph.nodes[-1].formula == "cube(x)"
    assert graph.gradients(2)[0] == 12


def test_a_graph_of_no_step_is_its_leaf_alone() -> None:
    graph = traced("leaf")
    assert (len(graph.nodes), graph.stages, graph.gradients(1)) == (1, 1, {0: 1.0})


def test_values_that_the_result_does_not_depend_on_are_not_in_the_graph() -> None:
    assert [node.name for node in traced("unused").nodes] == ["x", "a"]


# --- what is refused --------------------------------------------------------------------------------------------------


def chain(length: int) -> Any:
    def function(x: Tensor) -> Tensor:
        for _ in range(length):
            x = x + 1
        return x

    return function


def test_the_largest_graph_is_traced() -> None:
    assert len(trace(chain(MOST_NODES - 1), x=0.0).nodes) == MOST_NODES


def test_a_larger_graph_is_refused_with_its_size() -> None:
    with pytest.raises(ValueError, match=f"at most {MOST_NODES} nodes, got {MOST_NODES + 1}"):
        trace(chain(MOST_NODES), x=0.0)


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x: 3.0, TypeError, "must give a Tensor, got float"),
        (lambda x: x.detach() * 2, ValueError, "got a constant"),
        (lambda x: x * np.ones(3), ValueError, r"got shape \(3,\)"),
    ],
)
def test_what_has_no_gradient_to_show_is_refused(function: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        trace(function, x=1.0)
