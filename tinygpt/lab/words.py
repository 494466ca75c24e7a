"""Words: numbers as a person would write them, for captions and labels."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np


def number(value: Any, digits: int = 3) -> str:
    """A number or an array in words: so many significant digits, a true minus, no −0, arrays in brackets."""
    if np.ndim(value):
        return f"({', '.join(number(item, digits) for item in value)})"
    text = f"{float(value) + 0.0:.{digits}g}"
    if "e+" in text and abs(float(text)) < 1e6:
        text = f"{float(text):.0f}"  # 1290 rather than 1.29e3
    return re.sub(r"e([+-])0*(\d)", r"e\1\2", text).replace("e+", "e").replace("-", "−")


def short(value: float, digits: int = 3) -> str:
    """A number in so many digits, written out where that is not too long; what is not finite is out of sight."""
    if not math.isfinite(value):
        return "out of sight"
    if abs(value) < 1e-12:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    plain = 1e-4 <= abs(rounded) < 1e5
    text = f"{rounded:g}" if plain else np.format_float_scientific(rounded, trim="-", exp_digits=1)
    return text.replace("+", "").replace("-", "−")
