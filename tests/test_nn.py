"""Laws that every layer keeps, and those of each."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygpt import Module, Tensor, check_gradients, nn


@dataclass(frozen=True)
class Row:
    """A layer's class, its arguments, and the shapes that go in and come out."""

    layer: type[Module]
    arguments: tuple[Any, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.layer.__name__}{self.arguments}"

    def build(self, seed: int = 0, **options: Any) -> Module:
        return self.layer(*self.arguments, rng=np.random.default_rng(seed), **options)


TABLE = [
    Row(nn.Linear, (3, 2), (4, 3), (4, 2)),
    Row(nn.Linear, (3, 1, False), (3,), (1,)),
    Row(nn.MLP, ((3, 2),), (5, 4, 3), (5, 4, 2)),
    Row(nn.MLP, ((3, 5, 4, 1), Tensor.tanh), (2, 3), (2, 1)),
]

each_row = pytest.mark.parametrize("row", TABLE, ids=str)


def inputs(row: Row, dtype: Any = np.float64) -> Tensor:
    return Tensor.normal(row.inputs, rng=np.random.default_rng(1), dtype=dtype)


def test_every_layer_has_a_row() -> None:
    layers = {c for _, c in inspect.getmembers(nn, inspect.isclass) if c.__module__ == nn.__name__}
    assert layers - {row.layer for row in TABLE} == set()


# --- every layer -----------------------------------------------------------------------------------------------------


@each_row
def test_parameters_are_float32_and_trainable(row: Row) -> None:
    assert {(p.dtype, p.requires_grad) for p in row.build().parameters()} == {(np.dtype(np.float32), True)}


@each_row
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_parameters_have_the_dtype_that_is_asked_for(row: Row, dtype: Any) -> None:
    assert {p.dtype for p in row.build(dtype=dtype).parameters()} == {np.dtype(dtype)}


@each_row
def test_the_output_has_its_shape_and_the_dtype_of_input_and_layer(row: Row) -> None:
    y = row.build()(inputs(row, np.float32))
    assert (y.shape, y.dtype) == (row.outputs, np.float32)


@each_row
def test_the_same_generator_gives_the_same_layer(row: Row) -> None:
    a, b = row.build(3), row.build(3)
    assert [p.data.tolist() for p in a.parameters()] == [p.data.tolist() for p in b.parameters()]


@each_row
def test_another_generator_gives_another_layer(row: Row) -> None:
    a, b = row.build(3), row.build(4)
    assert all((p.data != q.data).all() for p, q in zip(a.parameters(), b.parameters(), strict=True))


@each_row
def test_an_array_goes_in_as_well_as_a_tensor(row: Row) -> None:
    layer, x = row.build(), inputs(row)
    assert np.array_equal(layer(x.data).data, layer(x).data)


@each_row
def test_slopes_by_the_input_are_those_of_central_differences(row: Row) -> None:
    assert check_gradients(row.build(dtype=np.float64), inputs(row))


@each_row
def test_slopes_by_the_parameters_are_those_of_central_differences(row: Row) -> None:
    layer, x = row.build(dtype=np.float64), inputs(row)
    parameters = list(layer.parameters())

    def output(*values: Tensor) -> Tensor:
        held = [x, *parameters]
        moved = dict(zip(map(id, held), (x, *values), strict=True))
        for module in layer.modules():
            vars(module).update({k: moved[id(v)] for k, v in vars(module).items() if id(v) in moved})
        result = layer(x)
        back = {id(moved[id(v)]): v for v in held}
        for module in layer.modules():
            vars(module).update({k: back[id(v)] for k, v in vars(module).items() if id(v) in back})
        return result

    assert check_gradients(output, *parameters)


@each_row
def test_rows_of_a_batch_do_not_see_each_other(row: Row) -> None:
    layer, x = row.build(dtype=np.float64), Tensor.normal((6, row.inputs[-1]), rng=np.random.default_rng(1))
    one_by_one = Tensor.stack([layer(x[i]) for i in range(6)]).data
    np.testing.assert_allclose(layer(x).data, one_by_one, rtol=1e-12)  # BLAS adds a vector's and a matrix's terms apart


@each_row
def test_weights_round_trip(row: Row, tmp_path: Path) -> None:
    saved, loaded = row.build(0), row.build(1)
    saved.save_weights(tmp_path / "w.json")
    loaded.load_weights(tmp_path / "w.json")
    assert np.array_equal(saved(inputs(row)).data, loaded(inputs(row)).data)


@each_row
def test_a_layer_without_a_generator_is_drawn_anew(row: Row) -> None:
    a, b = (next(row.layer(*row.arguments).parameters()) for _ in range(2))
    assert (a.data != b.data).any()


# --- Linear ----------------------------------------------------------------------------------------------------------


def test_linear_is_x_at_weight_plus_bias() -> None:
    layer = nn.Linear(2, 3, rng=np.random.default_rng(0))
    x = np.float32([[1, 2], [3, 4]])
    assert np.array_equal(layer(Tensor(x)).data, x @ layer.weight.data + layer.bias.data)


def test_linear_names_weight_and_bias_with_inputs_first() -> None:
    assert [(n, p.shape) for n, p in nn.Linear(2, 3).named_parameters()] == [("weight", (2, 3)), ("bias", (3,))]


def test_linear_without_bias_has_a_weight_alone() -> None:
    assert [n for n, _ in nn.Linear(2, 3, bias=False).named_parameters()] == ["weight"]


@pytest.mark.parametrize("count", [1, 4, 100])
def test_linear_starts_within_one_over_the_root_of_its_inputs(count: int) -> None:
    layer = nn.Linear(count, 200, rng=np.random.default_rng(0), dtype=np.float64)
    largest = max(np.abs(p.data).max() for p in layer.parameters())
    assert 0.9 < largest * np.sqrt(count) <= 1


def test_linear_names_the_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"cannot take shape \(4, 3\) and \(2, 5\)"):
        nn.Linear(2, 5)(Tensor.ones((4, 3)))


# --- MLP -------------------------------------------------------------------------------------------------------------


def test_mlp_is_its_layers_with_the_activation_between() -> None:
    mlp = nn.MLP((2, 4, 3, 1), Tensor.tanh, np.random.default_rng(0))
    first, second, third = mlp.layers
    x = Tensor.ones((5, 2), np.float32)
    assert np.array_equal(mlp(x).data, third(second(first(x).tanh()).tanh()).data)


def test_mlp_names_its_layers_in_order() -> None:
    expected = [f"layers.{i}.{name}" for i in range(3) for name in ("weight", "bias")]
    assert [n for n, _ in nn.MLP((2, 4, 3, 1)).named_parameters()] == expected


def test_mlp_of_two_sizes_is_linear() -> None:
    mlp, x = nn.MLP((2, 3), rng=np.random.default_rng(0)), Tensor([[-1.0, 2.0]])
    assert np.array_equal(mlp(x).data, mlp.layers[0](x).data)


def test_mlp_activates_with_relu_unless_told() -> None:
    x = Tensor([[1.0, -1.0]])
    plain, relu = (nn.MLP((2, 8, 1), *given, rng=np.random.default_rng(0)) for given in ((), (Tensor.relu,)))
    assert np.array_equal(plain(x).data, relu(x).data)


@pytest.mark.parametrize("sizes", [(), (2,)])
def test_mlp_wants_two_sizes(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^sizes must hold the inputs' and the outputs' length at least, got \("):
        nn.MLP(sizes)
