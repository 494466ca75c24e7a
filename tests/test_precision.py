"""A model in float32 computes in float32, from the data to the file: rules, layers, losses and optimizers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import test_nn
from optimizer_cases import every_setting, make
from test_ops import Row, each_row

from tinygpt import Tensor, losses

LOSSES = {
    "mean_squared_error": lambda y: losses.mean_squared_error(y, np.zeros(y.shape, y.dtype)),
    "cross_entropy": lambda y: losses.cross_entropy(y, np.zeros(y.shape[:-1], int)),
}


def graph(loss: Tensor) -> Iterator[Tensor]:
    """Every tensor that the loss was made from, and the loss."""
    found, waiting = {id(loss)}, [loss]
    while waiting:
        tensor = waiting.pop()
        yield tensor
        for source, _ in tensor._sources or ():
            if id(source) not in found:
                found.add(id(source))
                waiting.append(source)


def floating_in(state: Any) -> set[np.dtype[Any]]:
    """The dtypes of the numbers that an optimizer remembers; it counts its steps in whole numbers."""
    return {np.asarray(value).dtype for _, value in state.flatten() if not isinstance(value, int)}


@each_row
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_rule_computes_value_and_gradients_in_the_dtype_of_its_operands(row: Row, dtype: Any) -> None:
    value, vjps = row.rule(*[operand[()] for operand in row.operands(dtype)], **row.options)
    g = np.ones(np.shape(value), dtype)[()]  # backward would hide a wider gradient: it casts to the operand's dtype
    assert {value.dtype, *(vjp(g).dtype for vjp in vjps)} == {np.dtype(dtype)}


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("row", test_nn.TABLE, ids=str)
@every_setting
def test_a_layer_that_learns_keeps_its_dtype_everywhere(
    name: str, setting: dict[str, Any], row: test_nn.Row, loss_name: str
) -> None:
    model = row.build()
    optimizer = make(name, model, **{"learning_rate": np.float64(0.01), **setting})
    for _ in range(2):
        optimizer.zero_grad()
        loss = LOSSES[loss_name](model(test_nn.inputs(row, np.float32)))
        assert {tensor.dtype for tensor in graph(loss)} == {np.dtype(np.float32)}
        loss.backward()
        optimizer.update()
    found = {p.dtype for p in model.parameters()} | {p.grad.dtype for p in model.parameters() if p.grad is not None}
    assert found | floating_in(optimizer.state) == {np.dtype(np.float32)}


def test_every_loss_is_here() -> None:
    public = {n for n, f in inspect.getmembers(losses, inspect.isfunction) if f.__module__ == losses.__name__}
    assert public == set(LOSSES)
