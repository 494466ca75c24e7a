"""The check of a derivative: what calculus says against what small steps measure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygpt.tensor import Tensor


def check_gradients(function: Callable[..., Tensor], *tensors: Tensor, step: float = 1e-6) -> bool:
    """Compare a function's gradients with central differences, entry by entry, in float64.

        ∂f/∂x ≈ (f(x + step) − f(x − step)) / (2 step)

    A result that is not a scalar is first projected on fixed random weights. Entries agree where they differ by at most
    1e-5 of the larger gradient's size (central differences lose about half of float64's sixteen digits), or by 1e-7.

    Raises: AssertionError that names the entries that differ; else returns True.
    """
    leaves = [Tensor(np.array(t.data, np.float64), requires_grad=True) for t in tensors]
    shape = function(*leaves).shape
    weights = np.random.default_rng(0).normal(size=shape) if shape else 1.0
    (function(*leaves) * weights).sum().backward()
    for position, leaf in enumerate(leaves):
        exact = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad
        measured = np.zeros(leaf.shape)
        values = leaf.data
        for entry in np.ndindex(leaf.shape):
            ends = []
            for sign in (+1, -1):
                moved = np.array(values)
                moved[entry] += sign * step
                leaf.data = moved
                ends.append(np.sum(function(*leaves).data * weights))
            measured[entry] = (ends[0] - ends[1]) / (2 * step)
        leaf.data = values
        tolerance = 1e-7 + 1e-5 * np.max(np.abs(measured), initial=0)
        for entry in map(tuple, np.argwhere(~(np.abs(exact - measured) <= tolerance))):
            where = f"[{', '.join(map(str, entry))}]" if entry else ""
            raise AssertionError(
                f"the gradient by argument {position}{where} must be {measured[entry]:.6g} (central difference), "
                f"got {exact[entry]:.6g}: check that operation's derivative"
            )
    return True
