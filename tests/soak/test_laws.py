"""The laws of the quick tests, for thousands of examples that nobody has seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import test_checkpoint
import test_extremes
import test_programs
import test_resume
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_cases import SETTINGS
from programs import Step, programs

pytestmark = pytest.mark.soak
LAWS = settings(settings.get_profile("soak"))

OF_PROGRAMS = [
    test_programs.test_slopes_of_any_program_are_those_of_central_differences,
    test_programs.test_a_program_in_float32_stays_in_float32,
]
OF_THE_LARGEST_NUMBERS = [
    test_extremes.test_softmax_gives_chances_that_add_up_to_one_and_slopes_that_add_up_to_zero,
    test_extremes.test_log_softmax_is_the_logarithm_of_softmax_where_that_is_not_lost,
    test_extremes.test_the_cross_entropy_and_its_slopes_are_finite_whatever_the_logits,
    test_extremes.test_the_chances_of_yes_and_no_add_up_to_one,
    test_extremes.test_gelu_less_its_mirror_image_is_the_identity,
]


@pytest.mark.parametrize("law", OF_PROGRAMS, ids=lambda law: law.__name__)
@LAWS
@given(programs(longest=24))
def test_of_long_programs(law: Any, program: list[Step]) -> None:
    law.hypothesis.inner_test(program)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("law", OF_THE_LARGEST_NUMBERS, ids=lambda law: law.__name__)
@LAWS
@given(st.data())
def test_of_the_largest_numbers(law: Any, dtype: Any, data: st.DataObject) -> None:
    law.hypothesis.inner_test(dtype, data)


@LAWS
@given(st.sampled_from(SETTINGS), st.lists(test_resume.ACTIONS, max_size=40))
def test_of_restarts(case: tuple[str, dict[str, Any]], actions: list[Any]) -> None:
    test_resume.test_a_restart_at_any_moment_changes_nothing.hypothesis.inner_test(case, actions)


@LAWS
@given(test_checkpoint.VALUES)
def test_of_saved_values(value: Any) -> None:
    test_checkpoint.test_every_value_comes_back_exactly.hypothesis.inner_test(value)
