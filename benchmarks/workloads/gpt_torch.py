"""The GPT of P4 in PyTorch, its modules named as tinygpt names them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Causal self-attention: with PyTorch's own function, or by steps, as minGPT writes it."""

    def __init__(self, width: int, heads: int, by_steps: bool) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.heads, self.by_steps = heads, by_steps

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, width) → the same."""
        batch, time, width = x.shape
        q, k, v = (
            part.view(batch, time, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=2)
        )
        if self.by_steps:
            scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            mask = torch.ones(time, time, dtype=torch.bool).tril()
            y = scores.masked_fill(~mask, float("-inf")).softmax(dim=-1) @ v
        else:
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(y.transpose(1, 2).contiguous().view(batch, time, width))


class MLP(nn.Module):
    """Two layers with GELU between them: PyTorch's own, or by steps, as minGPT writes it."""

    def __init__(self, width: int, by_steps: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, 4 * width), nn.Linear(4 * width, width)])
        self.by_steps = by_steps

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, width) → the same."""
        h = self.layers[0](x)
        if self.by_steps:
            h = 0.5 * h * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (h + 0.044715 * torch.pow(h, 3.0))))
        else:
            h = functional.gelu(h, approximate="tanh")
        return self.layers[1](h)


class Block(nn.Module):
    """Attention, then the MLP, each behind a norm and beside the stream."""

    def __init__(self, width: int, heads: int, by_steps: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, by_steps)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = MLP(width, by_steps)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, width) → the same."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class GPT(nn.Module):
    """GPT-2 with its token embedding as the head."""

    def __init__(self, size: Any, by_steps: bool) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(size.vocabulary_size, size.width)
        self.position_embedding = nn.Embedding(size.context_length, size.width)
        self.blocks = nn.ModuleList([Block(size.width, size.heads, by_steps) for _ in range(size.layers)])
        self.norm = nn.LayerNorm(size.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, time) → logits (batch, time, vocabulary)."""
        x = self.token_embedding(tokens) + self.position_embedding(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return functional.linear(self.norm(x), self.token_embedding.weight)


def make(size: Any, weights: dict[str, Any], by_steps: bool) -> GPT:
    """The model with tinygpt's weights, those of its linear layers turned: PyTorch keeps them (outputs, inputs)."""
    model = GPT(size, by_steps)
    turned = {name: w.T if w.ndim == 2 and "embedding" not in name else w for name, w in weights.items()}
    model.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in turned.items()})
    return model
