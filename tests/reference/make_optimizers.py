"""Record what torch.optim computes, for tests/test_optimizers.py to compare with.

Run by hand, with PyTorch 2.13.0 for the CPU (the tests read the file and do not need it):

    pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
    python tests/reference/make_optimizers.py

Writes optimizers.json beside itself: the shapes and starts of two float64 parameters, the gradients that both receive
at each step, and one row per setting: tinygpt's class, its hyperparameters, and the parameters (flat, one after the
other) after every step. Floats are written by repr, which is exact.
"""

import json
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
import torch

STEPS = 25
SHAPES = ((2, 2), ())
TORCH_CLASSES = {
    "SGD": torch.optim.SGD,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "RMSProp": torch.optim.RMSprop,
    "AdaGrad": torch.optim.Adagrad,
}
TORCH_NAMES = {"learning_rate": "lr"}
DECAYS = (0.0, 0.01, 0.1)
BETAS = ((0.9, 0.999), (0.5, 0.9), (0.0, 0.5), (0.9, 0.0))


def make_settings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every class with its hyperparameters; the learning rates take turns."""
    for rate, momentum, decay, dampening in with_rates(product((0.0, 0.5, 0.9), DECAYS, (0.0, 0.1, 0.5))):
        row = {"learning_rate": rate, "momentum": momentum, "weight_decay": decay, "dampening": dampening}
        yield "SGD", row
        if momentum > 0 and dampening == 0:
            yield "SGD", {**row, "nesterov": True}
    for name in ("Adam", "AdamW"):
        for rate, betas, eps, decay in with_rates(product(BETAS, (1e-8, 0.1), DECAYS)):
            yield name, {"learning_rate": rate, "betas": betas, "eps": eps, "weight_decay": decay}
    for rate, alpha, eps in with_rates(product((0.0, 0.5, 0.9, 0.99), (1e-8, 0.1))):
        yield "RMSProp", {"learning_rate": rate, "alpha": alpha, "eps": eps}
    for rate, eps in product((0.01, 0.1, 1.0), (1e-10, 0.1)):
        yield "AdaGrad", {"learning_rate": rate, "eps": eps}


def with_rates(settings: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Put a learning rate before each setting; four of them, so that they fall out of step with products of three."""
    return ((rate, *setting) for rate, setting in zip(cycle((0.001, 0.01, 0.1, 0.5)), settings, strict=False))


def make_gradients(rng: np.random.Generator) -> list[list[Any]]:
    """Draw a gradient per step and parameter, some of them zero, large or tiny."""
    matrices, numbers = rng.normal(size=(STEPS, *SHAPES[0])), rng.normal(size=STEPS)
    matrices[:4, 0, 0] = 0  # no gradient at the start
    matrices[8:12] = 0  # nor in the middle
    matrices[15, 0, 1] = 1e4
    matrices[16:20, 1, 0] *= 1e-12
    numbers[5] = 0
    numbers[12:] *= 1e-3
    return [[matrices[step].tolist(), float(numbers[step])] for step in range(STEPS)]


def run(name: str, hyperparameters: dict[str, Any], starts: list[Any], gradients: list[list[Any]]) -> list[Any]:
    """Give the parameters, flat, after every step of PyTorch's optimizer."""
    parameters = [torch.tensor(start, dtype=torch.float64, requires_grad=True) for start in starts]
    translated = {TORCH_NAMES.get(key, key): value for key, value in hyperparameters.items()}
    optimizer = TORCH_CLASSES[name](parameters, **translated)
    path = []
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        path.append([number for parameter in parameters for number in parameter.detach().reshape(-1).tolist()])
    return path


def main() -> None:
    """Write optimizers.json, one row a line."""
    rng = np.random.default_rng(0)
    starts, gradients = [rng.normal(size=shape).tolist() for shape in SHAPES], make_gradients(rng)
    rows = [
        {"class": name, "hyperparameters": setting, "path": run(name, setting, starts, gradients)}
        for name, setting in make_settings()
    ]
    lines = ",\n".join(json.dumps(row, separators=(",", ":"), allow_nan=False) for row in rows)
    head = {"torch": torch.__version__.split("+")[0], "shapes": SHAPES, "starts": starts, "gradients": gradients}
    text = json.dumps(head, separators=(",", ":"), allow_nan=False)[:-1] + ',"rows":[\n' + lines + "\n]}\n"
    Path(__file__).with_name("optimizers.json").write_text(text, encoding="ascii")
    print(f"{len(rows)} rows, {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
