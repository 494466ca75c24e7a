"""What several workloads compute where no framework does it for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Shape = tuple[int, ...]


def adam(
    w: Any, g: Any, m: Any, v: Any, t: Any, rate: float = 1e-3, b1: float = 0.9, b2: float = 0.999, decay: float = 0.0
) -> tuple[Any, Any, Any]:
    """The new w, m and v of Adam's step t, of AdamW's with decay: for Python's floats, NumPy's arrays and JAX's."""
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g * g
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    return w - rate * (m_hat / (v_hat**0.5 + 1e-8) + decay * w), m, v


def jax_adam(loss: Callable[..., Any], rate: float = 1e-3, decay: float = 0.0) -> tuple[Any, Any]:
    """JAX brings no optimizer: `begin(weights)` is the start of a training, `step(state, *data)` the next, with a loss.

    Neither is compiled yet; compiled with donate_argnums=0, `step` writes the state in place.
    """
    import jax
    import jax.numpy as jnp

    def begin(weights: Any) -> Any:
        weights = jax.tree.map(jnp.asarray, weights)
        leaves = jax.tree.leaves(weights)
        m, v = (tuple(jnp.zeros_like(leaf) for leaf in leaves) for _ in "mv")
        return weights, m, v, jnp.ones((), leaves[0].dtype)

    def step(state: Any, *data: Any) -> tuple[Any, Any]:
        weights, m, v, t = state
        value, slopes = jax.value_and_grad(loss)(weights, *data)
        w, tree = jax.tree.flatten(weights)
        after = [adam(*one, t, rate, decay=decay) for one in zip(w, jax.tree.leaves(slopes), m, v, strict=True)]
        w, m, v = zip(*after, strict=True)
        return (tree.unflatten(w), m, v, t + 1), value

    return begin, step


def matrix_products(shapes: Sequence[tuple[Shape, Shape]], inputs_learn: bool = True) -> Iterator[None]:
    """The limit of a network: its matrix products x @ w and both gradients of each, into memory kept, and no more.

    Without `inputs_learn` the first x is data and has no gradient. Shapes: x (…, m, k), w (…, k, n).
    """
    rng = np.random.default_rng(0)
    products = []
    for left, right in shapes:
        x, w = rng.standard_normal(left, np.float32), rng.standard_normal(right, np.float32)
        products.append((x, w, x @ w, np.empty_like(x), np.empty_like(w)))
    while True:
        for i, (x, w, y, x_grad, w_grad) in enumerate(products):
            np.matmul(x, w, out=y)
            np.matmul(x.swapaxes(-1, -2), y, out=w_grad)
            if i or inputs_learn:
                np.matmul(y, w.swapaxes(-1, -2), out=x_grad)
        yield
