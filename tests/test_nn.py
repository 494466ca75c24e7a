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
        drawn = {"rng": np.random.default_rng(seed)} if self.is_drawn else {}
        return self.layer(*self.arguments, **drawn, **options)

    @property
    def is_drawn(self) -> bool:
        return "rng" in inspect.signature(self.layer).parameters


TABLE = [
    Row(nn.Linear, (3, 2), (4, 3), (4, 2)),
    Row(nn.Linear, (3, 1, False), (3,), (1,)),
    Row(nn.MLP, ((3, 2),), (5, 4, 3), (5, 4, 2)),
    Row(nn.MLP, ((3, 5, 4, 1), Tensor.tanh), (2, 3), (2, 1)),
    Row(nn.Embedding, (5, 3), (2, 4), (2, 4, 3)),
    Row(nn.LayerNorm, (3,), (2, 3), (2, 3)),
    Row(nn.CausalSelfAttention, (4, 2), (3, 4), (3, 4)),
    Row(nn.CausalSelfAttention, (4, 1), (2, 3, 4), (2, 3, 4)),
    Row(nn.TransformerBlock, (4, 2), (3, 4), (3, 4)),
]
WITHOUT_PARAMETERS = {nn.Dropout}

each_row = pytest.mark.parametrize("row", TABLE, ids=str)
each_drawn_row = pytest.mark.parametrize("row", [row for row in TABLE if row.is_drawn], ids=str)
each_row_of_numbers = pytest.mark.parametrize("row", [row for row in TABLE if row.layer is not nn.Embedding], ids=str)


def inputs(row: Row, dtype: Any = np.float64, batch: tuple[int, ...] = ()) -> Tensor:
    shape, rng = batch + row.inputs, np.random.default_rng(1)
    if row.layer is nn.Embedding:
        return Tensor(rng.integers(row.arguments[0], size=shape))
    return Tensor.normal(shape, rng=rng, dtype=dtype)


def test_every_layer_has_a_row() -> None:
    layers = {c for _, c in inspect.getmembers(nn, inspect.isclass) if c.__module__ == nn.__name__}
    assert {c for c in layers if issubclass(c, Module)} == {row.layer for row in TABLE} | WITHOUT_PARAMETERS


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


@each_drawn_row
def test_another_generator_gives_another_layer(row: Row) -> None:
    a, b = row.build(3), row.build(4)
    pairs = [(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True) if p.data.std() > 0]  # not all ones
    assert all((p.data != q.data).all() for p, q in pairs)


@each_row
def test_an_array_goes_in_as_well_as_a_tensor(row: Row) -> None:
    layer, x = row.build(), inputs(row)
    assert np.array_equal(layer(x.data).data, layer(x).data)


@each_row_of_numbers
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
    layer, x = row.build(dtype=np.float64), inputs(row, batch=(6,))
    one_by_one = Tensor.stack([layer(x[i]) for i in range(6)]).data
    np.testing.assert_allclose(layer(x).data, one_by_one, rtol=1e-12)  # BLAS adds a vector's and a matrix's terms apart


@each_row
def test_weights_round_trip(row: Row, tmp_path: Path) -> None:
    saved, loaded = row.build(0), row.build(1)
    saved.save_weights(tmp_path / "w.json")
    loaded.load_weights(tmp_path / "w.json")
    assert np.array_equal(saved(inputs(row)).data, loaded(inputs(row)).data)


@each_drawn_row
def test_a_layer_without_a_generator_is_drawn_anew(row: Row) -> None:
    a, b = (list(row.layer(*row.arguments).parameters()) for _ in range(2))
    assert any((p.data != q.data).any() for p, q in zip(a, b, strict=True))


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


# --- Embedding and LayerNorm -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [[0, 3], [-1]])
def test_embedding_names_tokens_that_are_not_there(tokens: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^tokens must be in \[0, 3\), got .*: use the tokenizer of this model$"):
        nn.Embedding(3, 2)(tokens)


def test_embedding_wants_integers() -> None:
    with pytest.raises(TypeError, match=r"^tokens must be integers, got dtype float64: encode the text first$"):
        nn.Embedding(3, 2)([0.0, 1.0])


def test_a_normed_row_has_mean_zero_and_variance_one() -> None:
    row = nn.LayerNorm(64, dtype=np.float64)(Tensor.normal((64,), 3.0, 5.0, np.random.default_rng(0))).data
    assert (row.mean(), row.var()) == pytest.approx((0, 1), abs=1e-6)  # eps takes 1e-5 of 25 away


# --- Dropout ---------------------------------------------------------------------------------------------------------


def test_dropout_does_nothing_in_evaluation() -> None:
    x = Tensor.ones(100)
    assert nn.Dropout(0.5).eval()(x) is x


def test_dropout_keeps_the_mean() -> None:
    kept = nn.Dropout(0.25, np.random.default_rng(0))(Tensor.ones(100_000)).data
    assert kept.mean() == pytest.approx(1, abs=5 * np.sqrt(0.25 / 0.75 / 100_000))  # five standard errors


def test_what_dropout_keeps_is_scaled_and_the_rest_is_zero() -> None:
    assert set(nn.Dropout(0.5, np.random.default_rng(0))(Tensor.ones(100, np.float32)).data.tolist()) == {0.0, 2.0}


def test_the_gradient_passes_where_dropout_let_the_value_pass() -> None:
    x = Tensor.ones(100, requires_grad=True)
    y = nn.Dropout(0.5, np.random.default_rng(0))(x)
    y.sum().backward()
    assert np.array_equal(x.grad, y.data)


@pytest.mark.parametrize("probability", [-0.1, 1.0, np.nan])
def test_dropout_wants_a_probability_below_one(probability: float) -> None:
    with pytest.raises(ValueError, match=r"^probability must be in \[0, 1\), got .*: 0 drops nothing$"):
        nn.Dropout(probability)


# --- attention and the block -----------------------------------------------------------------------------------------


def test_a_token_does_not_see_those_after_it() -> None:
    layer = nn.TransformerBlock(8, 2, rng=np.random.default_rng(0), dtype=np.float64)
    x = Tensor.normal((5, 8), rng=np.random.default_rng(1))
    changed = Tensor.concatenate([x[:3], -x[3:]])
    assert np.array_equal(layer(x).data[:3], layer(changed).data[:3])


def test_a_token_sees_those_before_it() -> None:
    layer = nn.TransformerBlock(8, 2, rng=np.random.default_rng(0), dtype=np.float64)
    x = Tensor.normal((5, 8), rng=np.random.default_rng(1))
    changed = Tensor.concatenate([-x[:1], x[1:]])
    assert (layer(x).data[4] != layer(changed).data[4]).all()


def test_the_first_token_hears_only_itself() -> None:
    layer = nn.CausalSelfAttention(4, 2, np.random.default_rng(0), np.float64)
    x = Tensor.normal((1, 4), rng=np.random.default_rng(1))
    own_value = layer.qkv(x)[:, 8:]
    np.testing.assert_allclose(layer(x).data, layer.output(own_value).data, rtol=1e-14)


def test_with_a_past_tokens_can_come_one_by_one() -> None:
    layer, past = nn.TransformerBlock(8, 2, rng=np.random.default_rng(0), dtype=np.float64), nn.Past()
    x = Tensor.normal((2, 5, 8), rng=np.random.default_rng(1))
    one_by_one = Tensor.concatenate([layer(x[:, t : t + 1], past) for t in range(5)], axis=1)
    np.testing.assert_allclose(one_by_one.data, layer(x).data, rtol=1e-12, atol=1e-14)  # BLAS adds in another order


def test_a_past_tells_how_much_it_has_seen() -> None:
    layer, past = nn.CausalSelfAttention(4, 1), nn.Past()
    layer(Tensor.ones((3, 4), np.float32), past)
    layer(Tensor.ones((2, 4), np.float32), past)
    assert past.length == 5


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match=r"^heads must divide width, got heads=3 and width=8: change one$"):
        nn.CausalSelfAttention(8, 3)
