"""Laws of whole programs: rules of the table in any order, on what other rules computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from programs import KINK, TOLERANCE, Step, leaves, programs, projection, run, slopes
from test_ops import Row

from tinygpt import no_grad, ops

FEW = settings(max_examples=40)
MANY = settings(max_examples=120)


def gradients(program: list[Step], times: int = 1) -> list[Any]:
    inputs = leaves()
    loss = projection(run(program, inputs))
    for _ in range(times):
        loss.backward(retain_graph=True)
    return [x.grad for x in inputs]


@MANY
@given(programs())
def test_slopes_of_any_program_are_those_of_central_differences(program: list[Step]) -> None:
    error, disagreement = slopes(program)
    assume(disagreement < KINK)
    assert error < TOLERANCE


@pytest.mark.parametrize("factor", [0.999, -1.0])
def test_the_check_finds_a_wrong_slope_in_the_middle_of_a_program(factor: float) -> None:
    def wrong(x: Any) -> ops.Result:
        value, (vjp,) = ops.sin(x)
        return value, (lambda g: factor * vjp(g),)

    square, sine = Row(ops.square, ((2, 3),)), Row(wrong, ((2, 3),))
    error, disagreement = slopes([Step(square, (2,)), Step(sine, (3,)), Step(square, (4,))])
    assert disagreement < KINK
    assert error > 1000 * TOLERANCE


@FEW
@given(programs())
def test_a_program_in_float32_stays_in_float32(program: list[Step]) -> None:
    inputs = leaves(np.float32)
    values = run(program, inputs)
    sum(value.sum() for value in values).backward()
    assert {value.dtype for value in values} | {x.grad.dtype for x in inputs} == {np.dtype(np.float32)}


@FEW
@given(programs())
def test_a_program_gives_the_same_numbers_without_a_memory_and_makes_no_graph(program: list[Step]) -> None:
    with no_grad():
        forgotten = run(program, leaves())
    remembered = run(program, leaves())
    assert [x.data.tobytes() for x in forgotten] == [x.data.tobytes() for x in remembered]
    assert not any(x.requires_grad for x in forgotten[len(leaves()) :])


@FEW
@given(programs())
def test_going_back_twice_through_a_program_gives_twice_the_gradient(program: list[Step]) -> None:
    once, twice = gradients(program), gradients(program, times=2)
    assert [(2 * g).tobytes() for g in once] == [g.tobytes() for g in twice]
