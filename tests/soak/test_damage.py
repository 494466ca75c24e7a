"""Ten thousand damaged and ten thousand forged files, of a state and of weights."""

from __future__ import annotations

from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest
from damage import ATTEMPTS, little_memory

pytestmark = pytest.mark.soak

TRIES = 10_000


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")  # 1e300 is infinite in float32
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_a_file_loads_exactly_or_is_refused_whole(attempt: Any, tmp_path: Path) -> None:
    seed = SystemRandom().getrandbits(64)
    print(f"seed {seed}")
    with little_memory():
        attempt(tmp_path / "saved.json", Random(seed), TRIES)
