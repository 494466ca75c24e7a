"""The GPT of P4 in JAX: a function of its weights, which have tinygpt's names."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def loss(size: Any, weights: dict[str, Any], tokens: Any, targets: Any) -> Any:
    """The mean surprise at the targets. Shapes: tokens and targets (batch, time)."""

    def linear(name: str, x: Any) -> Any:
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def norm(name: str, x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        unit = centred * jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)
        return unit * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    batch, time = tokens.shape
    x = weights["token_embedding.weight"][tokens] + weights["position_embedding.weight"][:time]
    for i in range(size.layers):
        block = f"blocks.{i}"
        qkv = linear(f"{block}.attention.qkv", norm(f"{block}.attention_norm", x))
        q, k, v = (part.reshape(batch, time, size.heads, -1) for part in jnp.split(qkv, 3, axis=-1))
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + linear(f"{block}.attention.output", y.reshape(batch, time, size.width))
        h = jax.nn.gelu(linear(f"{block}.mlp.layers.0", norm(f"{block}.mlp_norm", x)), approximate=True)
        x = x + linear(f"{block}.mlp.layers.1", h)
    logits = norm("norm", x) @ weights["token_embedding.weight"].T
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], axis=-1).mean()
