"""GPT: a transformer that reads tokens and says, at each place, which token comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tinygpt import checkpoint, pretrained
from tinygpt.module import Module, evaluating
from tinygpt.nn import Dropout, Embedding, LayerNorm, Past, TransformerBlock
from tinygpt.tensor import Tensor, no_grad


@dataclass(frozen=True)
class GPTConfig:
    """What decides a GPT's shape.

    `context_length` is the largest number of tokens that it reads at once, `width` the length of the vector that
    stands for a token inside, `dropout` the share of numbers left out in training.

    Raises: ValueError unless all counts are integers ≥ 1, heads divides width, and dropout is in [0, 1).
    """

    vocabulary_size: int
    context_length: int
    layers: int = 4
    heads: int = 4
    width: int = 128
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "context_length", "layers", "heads", "width"):
            count = getattr(self, name)
            if not (isinstance(count, (int, np.integer)) and count >= 1):
                raise ValueError(f"{name} must be an integer >= 1, got {count!r}")
        if self.width % self.heads:
            raise ValueError(f"heads must divide width, got heads={self.heads} and width={self.width}: change one")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}: 0 leaves nothing out")


class GPT(Module):
    """GPT-2's architecture: embeddings, transformer blocks, a last norm; the token embedding is the head, too.

    The start is GPT-2's: weights normal with standard deviation 0.02, those that add to the residual stream divided by
    √(2 · layers), biases 0; drawn from rng, as is what dropout leaves out.

    Shapes: tokens (…, time) of integers → logits (…, time, vocabulary_size).
    Source: Radford et al. 2019, section 2.3.
    https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
    """

    def __init__(self, config: GPTConfig, rng: np.random.Generator | None = None, dtype: Any = np.float32) -> None:
        rng = rng or np.random.default_rng()
        self.config = config
        self.token_embedding = Embedding(config.vocabulary_size, config.width, rng, dtype)
        self.position_embedding = Embedding(config.context_length, config.width, rng, dtype)
        self.dropout = Dropout(config.dropout, rng)
        self.blocks = [
            TransformerBlock(config.width, config.heads, config.dropout, rng, dtype) for _ in range(config.layers)
        ]
        self.norm = LayerNorm(config.width, dtype=dtype)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                adds = name.endswith(("attention.output.weight", "mlp.layers.1.weight"))
                std = 0.02 / np.sqrt(2 * config.layers) if adds else 0.02
                parameter.data = rng.normal(0, std, parameter.shape).astype(dtype)
            elif name.endswith("bias"):
                parameter.data = np.zeros(parameter.shape, dtype)

    @staticmethod
    def from_pretrained(folder_or_name: checkpoint.File, dtype: Any = np.float32) -> GPT:
        """A GPT-2 of that folder, or one that OpenAI published: gpt2, gpt2-medium, gpt2-large, gpt2-xl; in evaluation.

        A folder holds config.json and model.safetensors, as `save_pretrained` here and in `transformers` writes them.
        A published one is fetched from huggingface.co (`gpt2`: 548 MB), checked by its sha256, and kept; where a folder
        has that name, it is the folder's. Dropout is the config's `resid_pdrop`; within attention there is none.

        Raises: as `pretrained.read`.
        """
        fields, weights = pretrained.read(folder_or_name)
        model = GPT(GPTConfig(**fields), dtype=dtype)
        model.load_weights(list(weights.items()))
        model.eval()
        return model

    def save_pretrained(self, folder: checkpoint.File) -> None:
        """Write config.json and model.safetensors, from which `from_pretrained` here and in `transformers` reads.

        Raises: as `pretrained.write`.
        """
        weights = {name: parameter.numpy() for name, parameter in self.named_parameters()}
        pretrained.write(folder, asdict(self.config), weights)

    def forward(self, tokens: Any, pasts: Sequence[Past] | None = None) -> Tensor:
        """Tokens (…, time) → logits (…, time, vocabulary_size).

        With `pasts`, one for each block, the tokens continue those that these have seen.

        Raises: ValueError for no token, more than context_length, or one that is not in the vocabulary; TypeError for
        tokens that are no integers.
        """
        tokens = _array(tokens)
        seen = pasts[0].length if pasts else 0
        time = seen + tokens.shape[-1]
        if time > self.config.context_length:
            raise ValueError(
                f"tokens must be at most context_length={self.config.context_length}, got {time}: "
                "give the last ones, or build a GPT with a longer context"
            )
        x = self.dropout(self.token_embedding(tokens) + self.position_embedding.weight[seen:time])
        for i, block in enumerate(self.blocks):
            x = block(x, pasts[i] if pasts else None)
        return self.norm(x) @ self.token_embedding.weight.transpose(0, 1)

    def generate(
        self,
        tokens: Any,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> Any:
        """The tokens with their continuation, each new one drawn by its probability from rng.

        The logits are divided by temperature: below 1 likely tokens become likelier, and at 0 the likeliest is taken.
        With `top_k` only so many of the likeliest are drawn from. Beyond context_length the model reads the last ones.

        Shapes: tokens (…, time), time ≥ 1 → (…, time + max_new_tokens).
        Raises: ValueError unless temperature ≥ 0, top_k ≥ 1 and max_new_tokens ≥ 0; and as `forward` for the tokens.
        """
        if not (temperature >= 0 and (top_k is None or top_k >= 1) and max_new_tokens >= 0):
            raise ValueError(
                "temperature must be >= 0, top_k >= 1 or None, max_new_tokens >= 0, "
                f"got {temperature}, {top_k} and {max_new_tokens}"
            )
        rng = rng or np.random.default_rng()
        pasts = [Past() for _ in self.blocks]
        new = tokens = _array(tokens).copy()  # new is what the pasts have not seen
        with evaluating(self), no_grad():
            for _ in range(max_new_tokens):
                if tokens.shape[-1] <= self.config.context_length:
                    logits = self.forward(new, pasts)
                else:  # each token's place changes, so nothing that was computed holds
                    logits = self.forward(tokens[..., -self.config.context_length :])
                new = _drawn(logits.data[..., -1, :], temperature, top_k, rng)[..., None]
                tokens = np.concatenate([tokens, new], axis=-1, dtype=np.int64, casting="same_kind")
        return tokens


def _array(tokens: Any) -> Any:
    """Tokens (…, time) as an array."""
    array = np.asarray(tokens.data if isinstance(tokens, Tensor) else tokens)
    if array.shape[-1:] in ((), (0,)):
        raise ValueError(f"tokens must be rows of one or more, got shape {array.shape}: begin with any token")
    return array


def _drawn(logits: Any, temperature: float, top_k: int | None, rng: np.random.Generator) -> Any:
    """One token for each row of logits (…, vocabulary_size).

    The largest of the logits, each with noise of Gumbel's distribution added, is a draw by softmax.
    """
    if temperature == 0:
        return logits.argmax(axis=-1)
    with np.errstate(over="ignore"):  # −∞ is right for what is never drawn
        logits = (logits - logits.max(axis=-1, keepdims=True)).astype(np.float64) / temperature
    if top_k is not None:
        rest = np.argsort(-logits, axis=-1, kind="stable")[..., top_k:]
        np.put_along_axis(logits, rest, -np.inf, axis=-1)
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=-1)


if __name__ == "__main__":
    from tinygpt.command import main  # which knows of this module

    raise SystemExit(main(prog="python -m tinygpt.gpt"))
