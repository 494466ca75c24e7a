"""Layers: small modules to build larger ones from. Their parameters are float32 unless a dtype is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinygpt import ops
from tinygpt.module import Module
from tinygpt.tensor import Tensor, apply


class Linear(Module):
    """x @ weight + bias.

    The start is uniform in ±1/√inputs, PyTorch's, drawn from rng.

    Shapes: x (…, inputs) → (…, outputs); weight (inputs, outputs), bias (outputs,).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        dtype: Any = np.float32,
    ) -> None:
        rng = rng or np.random.default_rng()
        bound = 1 / np.sqrt(inputs)
        self.weight = Tensor.uniform((inputs, outputs), -bound, bound, rng, dtype, requires_grad=True)
        self.bias = Tensor.uniform(outputs, -bound, bound, rng, dtype, requires_grad=True) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """x (…, inputs) → (…, outputs)."""
        return x @ self.weight if self.bias is None else apply(ops.linear, x, self.weight, self.bias)


class MLP(Module):
    """Linear layers with an activation between them, none after the last: MLP((2, 16, 16, 1)).

    Shapes: x (…, sizes[0]) → (…, sizes[-1]).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[Tensor], Tensor] = Tensor.relu,
        rng: np.random.Generator | None = None,
        dtype: Any = np.float32,
    ) -> None:
        if len(sizes) < 2:
            raise ValueError(f"sizes must hold the inputs' and the outputs' length at least, got {tuple(sizes)}")
        rng = rng or np.random.default_rng()
        self.layers = [Linear(i, o, rng=rng, dtype=dtype) for i, o in pairwise(sizes)]
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """x (…, sizes[0]) → (…, sizes[-1])."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x)


class Embedding(Module):
    """A vector for each token: weight[tokens].

    The start is normal with standard deviation 1, PyTorch's, drawn from rng.

    Shapes: tokens (…) of integers in [0, count) → (…, width); weight (count, width).
    """

    def __init__(self, count: int, width: int, rng: np.random.Generator | None = None, dtype: Any = np.float32) -> None:
        self.weight = Tensor.normal((count, width), rng=rng, dtype=dtype, requires_grad=True)

    def forward(self, tokens: Any) -> Tensor:
        """Tokens (…) → (…, width).

        Raises: TypeError for tokens that are no integers; ValueError for one that is not there.
        """
        tokens = np.asarray(tokens.data if isinstance(tokens, Tensor) else tokens)
        count = self.weight.shape[0]
        if tokens.dtype.kind not in "iu":
            raise TypeError(f"tokens must be integers, got dtype {tokens.dtype}: encode the text first")
        if tokens.size and not (tokens.min() >= 0 and tokens.max() < count):
            found = f"{tokens.min()} to {tokens.max()}"
            raise ValueError(f"tokens must be in [0, {count}), got {found}: use the tokenizer of this model")
        return apply(ops.embedding, self.weight, tokens=tokens)


class LayerNorm(Module):
    """(x − mean) / √(variance + eps) · weight + bias, mean and variance over the last axis.

    Shapes: x (…, width) → (…, width); weight and bias (width,).
    """

    def __init__(self, width: int, eps: float = 1e-5, dtype: Any = np.float32) -> None:
        self.weight = Tensor.ones(width, dtype, requires_grad=True)
        self.bias = Tensor.zeros(width, dtype, requires_grad=True)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x (…, width) → (…, width)."""
        return apply(ops.layer_norm, x, self.weight, self.bias, eps=self.eps)


class Dropout(Module):
    """In training, each number is 0 with that probability, and the others grow by 1 / (1 − probability).

    Which, is drawn from rng; in evaluation nothing happens.

    Raises: ValueError unless probability is in [0, 1).
    Source: Srivastava et al. 2014, section 10. https://jmlr.org/papers/v15/srivastava14a.html
    """

    def __init__(self, probability: float, rng: np.random.Generator | None = None) -> None:
        if not 0 <= probability < 1:
            raise ValueError(f"probability must be in [0, 1), got {probability}: 0 drops nothing")
        self.probability = float(probability)
        self.rng = rng or np.random.default_rng()

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape → the same shape."""
        if not self.training or self.probability == 0:
            return x
        kept = self.rng.random(x.shape, np.float32) >= self.probability
        return apply(ops.multiply, x, (kept / (1 - self.probability)).astype(x.dtype))


class CausalSelfAttention(Module):
    """Each token asks the tokens before it and itself, in several heads, and mixes what they answer.

        softmax(q kᵀ / √n) v,     n = width / heads,     q, k, v = x @ weights

    Shapes: x (…, time, width) → (…, time, width).
    Raises: ValueError unless heads divides width.
    Source: Vaswani et al. 2017, section 3.2. https://arxiv.org/abs/1706.03762
    """

    def __init__(self, width: int, heads: int, rng: np.random.Generator | None = None, dtype: Any = np.float32) -> None:
        if heads < 1 or width % heads:
            raise ValueError(f"heads must divide width, got heads={heads} and width={width}: change one")
        rng = rng or np.random.default_rng()
        self.heads = heads
        self.qkv = Linear(width, 3 * width, rng=rng, dtype=dtype)
        self.output = Linear(width, width, rng=rng, dtype=dtype)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """x (…, time, width) → (…, time, width); with past, x continues what was seen before."""
        seen = self.qkv(x) if past is None else past.extended(self.qkv(x))
        return self.output(apply(ops.attention, seen, heads=self.heads, queries=x.shape[-2]))


class Past:
    """What one attention layer has computed for the tokens so far (the key-value cache).

    With it, generating a token costs the work of one token, not of all.
    """

    def __init__(self) -> None:
        self.seen: Tensor | None = None  # (…, time, 3 · width)

    @property
    def length(self) -> int:
        """How many tokens were seen."""
        return 0 if self.seen is None else self.seen.shape[-2]

    def extended(self, new: Tensor) -> Tensor:
        """All that was seen, the new included."""
        self.seen = new if self.seen is None else Tensor.concatenate([self.seen, new], axis=-2)
        return self.seen


class TransformerBlock(Module):
    """Attention, where tokens look at each other, then an MLP, where each thinks alone; both add to what is there.

        x = x + attention(norm(x))
        x = x + mlp(norm(x))

    Shapes: x (…, time, width) → (…, time, width).
    Source: Radford et al. 2019, section 2.3 (the norms come first).
    https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
    """

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float = 0.0,
        rng: np.random.Generator | None = None,
        dtype: Any = np.float32,
    ) -> None:
        rng = rng or np.random.default_rng()
        self.attention_norm = LayerNorm(width, dtype=dtype)
        self.attention = CausalSelfAttention(width, heads, rng, dtype)
        self.mlp_norm = LayerNorm(width, dtype=dtype)
        self.mlp = MLP((width, 4 * width, width), Tensor.gelu, rng, dtype)
        self.dropout = Dropout(dropout, rng)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """x (…, time, width) → (…, time, width); with past, x continues what was seen before."""
        x = x + self.dropout(self.attention(self.attention_norm(x), past))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))
