"""tinygpt lets you see optimizers think: autograd, optimizers and the figures that watch them, on NumPy alone."""

from tinygpt import nn
from tinygpt.check import check_gradients
from tinygpt.module import Module
from tinygpt.optimizers import SGD, AdaGrad, Adam, AdamW, Optimizer, RMSProp
from tinygpt.state import OptimizerState
from tinygpt.tensor import Tensor, no_grad

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Module",
    "Optimizer",
    "OptimizerState",
    "RMSProp",
    "Tensor",
    "check_gradients",
    "nn",
    "no_grad",
]
