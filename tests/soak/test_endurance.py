"""Graphs of a million operations, tensors of millions of numbers, and ten thousand steps of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import test_memory
from optimizer_cases import every_setting

from tinygpt import Tensor
from tinygpt.losses import cross_entropy

pytestmark = pytest.mark.soak

MANY = 2**25  # numbers, 134 MB of float32; one over it is exact in float32
ROUNDING = 1e-6  # of float32, and of sums in blocks


@every_setting
def test_ten_thousand_steps_of_training_leave_the_memory_where_it_was(name: str, setting: dict[str, Any]) -> None:
    bytes_more, unreachable = test_memory.growth(10_000, name, **setting)
    assert unreachable == 0
    assert bytes_more <= test_memory.KILOBYTE


def test_a_graph_of_a_million_operations_is_differentiated_and_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_memory, "DEEP", 1_000_000)
    test_memory.test_a_deep_graph_is_differentiated_and_freed()


@pytest.mark.parametrize("method", [Tensor.mean, Tensor.max, Tensor.min])
def test_the_middle_and_the_extremes_of_ones_are_one_and_share_the_gradient(method: Any) -> None:
    x = Tensor.ones(MANY, np.float32, requires_grad=True)
    value = method(x)
    value.backward()
    assert (value.item(), x.grad.min(), x.grad.max()) == (1, 1 / MANY, 1 / MANY)


def test_the_variance_of_ones_of_both_signs_is_one() -> None:
    x = Tensor(np.resize(np.float32([1, -1]), MANY), requires_grad=True)
    variance = x.var()
    variance.backward()
    assert variance.item() == pytest.approx(1, rel=ROUNDING)
    np.testing.assert_allclose(x.grad, 2 * x.data / MANY, rtol=ROUNDING)


def test_equal_logits_are_equally_likely_however_many_there_are() -> None:
    x = Tensor.zeros(MANY, np.float32, requires_grad=True)
    chances = x.softmax()
    chances[0].backward()
    np.testing.assert_allclose(chances.data[[0, -1]], 1 / MANY, rtol=ROUNDING)
    assert x.grad[0] == pytest.approx(1 / MANY, rel=ROUNDING)


def test_a_batch_of_a_million_rows_is_surprised_as_one_row_is() -> None:
    logits = Tensor.zeros((MANY // 32, 32), np.float32, requires_grad=True)
    loss = cross_entropy(logits, np.zeros(MANY // 32, int))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(32), rel=ROUNDING)
    assert logits.grad.sum(dtype=np.float64) == pytest.approx(0, abs=ROUNDING)


def test_millions_of_repeated_indices_all_count() -> None:
    x = Tensor.ones((3, 2), np.float64, requires_grad=True)
    x[np.zeros(MANY // 4, int)].sum().backward()
    assert x.grad.tolist() == [[MANY // 4] * 2, [0, 0], [0, 0]]
