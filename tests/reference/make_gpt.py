"""Record what PyTorch computes for a small GPT, for tests/test_gpt.py to compare with.

Run by hand, with PyTorch 2.13.0 for the CPU (the tests read the file and do not need it):

    pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
    python tests/reference/make_gpt.py

Writes gpt.json beside itself: the sizes; weights by tinygpt's names, exact in float32; batches of tokens and targets,
of which some are to be ignored; for float64 and float32 the logits of the first batch, the loss and its gradients; and
some steps of training in float64: loss, gradients' norm and learning rate before each, and the weights at the end.
Floats are written by the shortest decimals that mean them.

The model is put together from torch.nn.functional, and clipping and schedules are torch's own.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.optim import lr_scheduler

SIZES = {"vocabulary_size": 11, "context_length": 6, "layers": 2, "heads": 2, "width": 8}
BATCH = 3
TRAINING = {
    "steps": 12,
    "learning_rate": 0.03,
    "warmup": 4,
    "betas": (0.9, 0.95),
    "eps": 1e-6,  # well above what rounding leaves of gradients that are 0, as those of the keys' biases are
    "weight_decay": 0.1,
    "max_norm": 1.0,
}
IGNORED = -1

Weights = dict[str, torch.Tensor]


def make_weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw weights as large as after some training; (inputs, outputs) as in x @ weight."""
    w, shapes = SIZES["width"], {}
    shapes["token_embedding.weight"] = (SIZES["vocabulary_size"], w)
    shapes["position_embedding.weight"] = (SIZES["context_length"], w)
    for i in range(SIZES["layers"]):
        for name, shape in {
            "attention_norm.weight": (w,),
            "attention_norm.bias": (w,),
            "attention.qkv.weight": (w, 3 * w),
            "attention.qkv.bias": (3 * w,),
            "attention.output.weight": (w, w),
            "attention.output.bias": (w,),
            "mlp_norm.weight": (w,),
            "mlp_norm.bias": (w,),
            "mlp.layers.0.weight": (w, 4 * w),
            "mlp.layers.0.bias": (4 * w,),
            "mlp.layers.1.weight": (4 * w, w),
            "mlp.layers.1.bias": (w,),
        }.items():
            shapes[f"blocks.{i}.{name}"] = shape
    shapes["norm.weight"] = shapes["norm.bias"] = (w,)
    return {
        name: rng.normal(1.0 if name.endswith("norm.weight") else 0.0, 0.4, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def forward(weights: Weights, tokens: torch.Tensor) -> torch.Tensor:
    """Give the logits."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-5)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, weights[f"{name}.weight"].T, weights[f"{name}.bias"])

    def attention(x: torch.Tensor, name: str) -> torch.Tensor:
        q, k, v = (
            part.unflatten(-1, (SIZES["heads"], -1)).transpose(-2, -3)
            for part in linear(x, f"{name}.qkv").chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return linear(mixed.transpose(-2, -3).flatten(-2), f"{name}.output")

    x = functional.embedding(tokens, weights["token_embedding.weight"])
    x = x + functional.embedding(torch.arange(tokens.shape[-1]), weights["position_embedding.weight"])
    for i in range(SIZES["layers"]):
        x = x + attention(norm(x, f"blocks.{i}.attention_norm"), f"blocks.{i}.attention")
        hidden = linear(norm(x, f"blocks.{i}.mlp_norm"), f"blocks.{i}.mlp.layers.0")
        x = x + linear(functional.gelu(hidden, approximate="tanh"), f"blocks.{i}.mlp.layers.1")
    return norm(x, "norm") @ weights["token_embedding.weight"].T


def loss_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Give the mean cross-entropy of the targets that count."""
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)


def leaves(weights: dict[str, np.ndarray], dtype: torch.dtype) -> Weights:
    """Give the weights as tensors that have gradients."""
    return {name: torch.tensor(value, dtype=dtype, requires_grad=True) for name, value in weights.items()}


def look(weights: Weights, tokens: torch.Tensor, targets: torch.Tensor) -> dict[str, Any]:
    """Give logits, loss and gradients."""
    logits = forward(weights, tokens)
    loss = loss_of(logits, targets)
    loss.backward()
    gradients = {name: values(weight.grad) for name, weight in weights.items()}
    return {"logits": values(logits), "loss": values(loss), "gradients": gradients}


def train(weights: Weights, tokens: torch.Tensor, targets: torch.Tensor) -> dict[str, Any]:
    """Take some steps of AdamW, a batch each, with clipping, warm-up and half a cosine."""
    setting = {key: TRAINING[key] for key in ("betas", "eps", "weight_decay")}
    optimizer = torch.optim.AdamW(weights.values(), TRAINING["learning_rate"], **setting)
    length = TRAINING["warmup"]
    rise = lr_scheduler.LinearLR(optimizer, 1 / length, total_iters=length - 1)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, TRAINING["steps"])
    schedule = lr_scheduler.ChainedScheduler([rise, fall])  # each multiplies: the rate is their product
    losses, norms, rates = [], [], []
    for inputs, wanted in zip(tokens, targets, strict=True):
        loss = loss_of(forward(weights, inputs), wanted)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(weights.values(), TRAINING["max_norm"]).item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    weights = {name: values(weight) for name, weight in weights.items()}
    return {"losses": losses, "norms": norms, "learning_rates": rates, "weights": weights}


def values(tensor: torch.Tensor) -> Any:
    """Give the numbers as lists; those of float32 as the shortest decimals that mean them."""
    return tensor.detach().numpy().astype(str).astype(float).tolist()


def main() -> None:
    """Write gpt.json, one array a line."""
    rng = np.random.default_rng(0)
    weights = make_weights(rng)
    text = rng.integers(SIZES["vocabulary_size"], size=(TRAINING["steps"], BATCH, SIZES["context_length"] + 1))
    tokens, targets = text[..., :-1], np.where(rng.random(text[..., 1:].shape) < 0.3, IGNORED, text[..., 1:])
    inputs, wanted = torch.tensor(tokens), torch.tensor(targets)
    document = {
        "torch": torch.__version__.split("+")[0],
        "sizes": SIZES,
        "training": TRAINING,
        "ignored": IGNORED,
        "tokens": tokens.tolist(),
        "targets": targets.tolist(),
        "weights": {name: values(torch.tensor(value)) for name, value in weights.items()},
        "float64": look(leaves(weights, torch.float64), inputs[0], wanted[0]),
        "float32": look(leaves(weights, torch.float32), inputs[0], wanted[0]),
        "trained": train(leaves(weights, torch.float64), inputs, wanted),
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    text = re.sub(r'("[\w.]+":)(?=[\[{])', r"\n\1", text) + "\n"
    Path(__file__).with_name("gpt.json").write_text(text, encoding="ascii")
    print(f"{len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
