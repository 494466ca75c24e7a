"""The examples of the document that this package grew from run exactly as written there."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tinygpt import SGD, Adam, Module, Tensor, nn

DOCUMENT = """
### SGD (Stochastic Gradient Descent)
#### Example Usage

```python
# Initialize the model and optimizer
model = SimpleModel()
optimizer = SGD(module=model, learning_rate=0.01, momentum=0.9)

# Perform a forward pass, compute the loss, backpropagate, and update the parameters
loss = model(inputs).sum()
loss.backward()
optimizer.update()
```

### Adam Optimizer
#### Example Usage

```python

# Initialize the model and optimizer
model = SimpleModel()
optimizer = Adam(module=model, learning_rate=0.001)

# Perform a forward pass, compute the loss, backpropagate, and update the parameters
loss = model(inputs).sum()
loss.backward()
optimizer.update()
```
"""

EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


class SimpleModel(Module):
    """Two layers with a nonlinearity between them."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.hidden = nn.Linear(3, 4, rng=rng)
        self.out = nn.Linear(4, 1, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.hidden(x).tanh())


def test_both_examples_are_found() -> None:
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("example", EXAMPLES, ids=["SGD", "Adam"])
def test_the_example_runs_as_written_and_lowers_its_loss(example: str) -> None:
    inputs = Tensor(np.random.default_rng(1).normal(size=(5, 3)))
    names = {"SimpleModel": SimpleModel, "SGD": SGD, "Adam": Adam, "inputs": inputs}
    exec(compile(example, "the seed document", "exec"), names)
    assert names["model"](inputs).sum().item() < names["loss"].item()
