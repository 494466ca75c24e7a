"""Whatever is in a file: it loads exactly, or is refused in one line and nothing has changed; and no code runs."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from damage import ATTEMPTS, little_memory

TRIES = 200  # of each kind; the soak has many more


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")  # 1e300 is infinite in float32
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_a_file_loads_exactly_or_is_refused_whole(attempt: Any, tmp_path: Path) -> None:
    with little_memory():
        attempt(tmp_path / "saved.json", Random(0), TRIES)
