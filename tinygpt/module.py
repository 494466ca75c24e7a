"""Module: a model is an object whose tensors can be found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from tinygpt import checkpoint
from tinygpt.tensor import Tensor

Found = TypeVar("Found")


class Module:
    """The base of every model and layer: it finds the tensors in its attributes, lists, tuples, dicts and submodules.

    Every tensor so reached is a parameter, named by its path (`layers.0.weight`); names that begin with an underscore
    are skipped. A parameter is trainable while its `requires_grad` holds. A tensor reachable by two names is one
    parameter, under the first. A subclass writes `forward`; `super().__init__()` may be called and need not be.
    """

    training: bool = True

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The model's output for its inputs."""
        raise NotImplementedError(f"{type(self).__name__}.forward(…): yours to write")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """What `forward` returns."""
        return self.forward(*inputs, **options)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter once, with its name, in the order of the attributes."""
        return iter(_reached(self, Tensor))

    def parameters(self) -> Iterator[Tensor]:
        """Every parameter once."""
        return (parameter for _, parameter in self.named_parameters())

    def trainable_parameters(self) -> Iterator[Tensor]:
        """The parameters whose `requires_grad` holds."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module (named "") and every module below it, once each."""
        return iter(_reached(self, Module))

    def modules(self) -> Iterator[Module]:
        """This module and every module below it."""
        return (module for _, module in self.named_modules())

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode: bool = True) -> Module:
        """Switch this module and all below it to training (or, with False, to evaluation); returns itself."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch this module and all below it to evaluation; returns itself."""
        return self.train(False)

    def freeze(self, *names: str) -> Module:
        """Stop training the parameters of that name or below it (`layers.0`), or all of them; returns itself.

        Raises: ValueError for a name that no parameter has.
        """
        for parameter in self._chosen(names):
            parameter.requires_grad = False
            parameter.grad = None
        return self

    def unfreeze(self, *names: str) -> Module:
        """Train the parameters of that name or below it again, or all floating ones; returns itself.

        Raises: ValueError for a name that no parameter has.
        """
        for parameter in self._chosen(names):
            parameter.requires_grad = parameter.dtype.kind == "f"
        return self

    def save_weights(self, file: checkpoint.File) -> None:
        """Write every parameter's value to a JSON file, exactly, and whole or not at all."""
        checkpoint.save(file, {"kind": "weights", "weights": weights_of(self)})

    def load_weights(self, file_or_weights: checkpoint.File | Sequence[tuple[str, Any]], strict: bool = True) -> None:
        """Take every parameter's value from such a file, or from a list of (name, value), in the parameter's own dtype.

        The checkpoint of a training run is such a file, too. Strict wants the same names and shapes, and changes
        nothing where they differ; `strict=False` takes those that fit and leaves the rest.

        Raises: ValueError that names what differs.
        """
        if isinstance(file_or_weights, (str, os.PathLike)):
            source, content = os.path.basename(file_or_weights), checkpoint.load(file_or_weights)
            if not isinstance(content, dict) or content.get("kind") not in _HOLDS_WEIGHTS:
                raise ValueError(f"{source} must hold a module's weights, but it holds something else: pick another")
            take_weights(self, source, content["weights"], strict)
        else:
            take_weights(self, "the list", dict(file_or_weights), strict)

    def __repr__(self) -> str:
        own = dict(self.named_parameters())
        rows = [(name, str(p.shape), str(p.dtype), "" if p.requires_grad else "frozen") for name, p in own.items()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        title = f"{type(self).__name__}: {sum(p.size for p in own.values()):,} numbers"
        return "\n  ".join([title, *lines])

    def _chosen(self, names: tuple[str, ...]) -> list[Tensor]:
        own = dict(self.named_parameters())
        for name in names:
            if not any(n == name or n.startswith(name + ".") for n in own):
                raise ValueError(f"{name!r} must name a parameter or a part of one's path, among: {', '.join(own)}")
        return [p for n, p in own.items() if not names or any(n == name or n.startswith(name + ".") for name in names)]


def weights_of(module: Module) -> dict[str, Any]:
    """Every parameter's value, by name."""
    return {name: np.asarray(parameter.data) for name, parameter in module.named_parameters()}


def take_weights(module: Module, source: str, weights: Mapping[str, Any], strict: bool = True) -> None:
    """Give the module's parameters these values, as `load_weights` does; source is what errors call them.

    Raises: ValueError that names what differs; nothing has changed then.
    """
    values = {name: np.asarray(value) for name, value in weights.items()}
    own = dict(module.named_parameters())
    if strict:
        require_same_names(source, values, own)
        for name, parameter in own.items():
            if values[name].shape != parameter.shape:
                raise ValueError(
                    f"{name} must have shape {parameter.shape}, but in {source} it has {values[name].shape}: "
                    "build the module that was saved"
                )
    fitting = {
        name: values[name].astype(parameter.dtype, casting="same_kind")[()]  # [()]: a scalar for zero dimensions
        for name, parameter in own.items()
        if name in values and values[name].shape == parameter.shape
    }
    for name, value in fitting.items():
        own[name].data = value


@contextmanager
def evaluating(module: Module) -> Iterator[None]:
    """Inside `with evaluating(module):` it evaluates; then it and all below it are in the modes that they had."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, mode in modes:
            each.training = mode


def require_same_names(source: str, found: Any, own: Any) -> None:
    """Raise a ValueError that names what one has and the other lacks."""
    lacks, extra = [n for n in own if n not in found], [n for n in found if n not in own]
    complaints = []
    if lacks:
        complaints.append(f"lacks {', '.join(lacks)}")
    if extra:
        complaints.append(f"has {', '.join(extra)}, which this module does not")
    if complaints:
        raise ValueError(f"{source} {' and '.join(complaints)}: strict=False takes what fits")


def _reached(root: Module, kind: type[Found]) -> list[tuple[str, Found]]:
    """Every tensor, or every module, that can be reached from root, once, with its path; a module before its parts."""
    found: list[tuple[str, Found]] = [("", root)] if isinstance(root, kind) else []
    _collect(root, "", kind, {id(root)}, found)
    return found


def _collect(holder: Any, prefix: str, kind: type[Found], seen: set[int], found: list[tuple[str, Found]]) -> None:
    for key, item in vars(holder).items() if isinstance(holder, Module) else _items(holder):
        if isinstance(item, _REACHABLE) and key[:1] != "_" and id(item) not in seen:
            seen.add(id(item))
            if isinstance(item, kind):
                if "." in key:
                    raise ValueError(
                        f"the keys of {prefix[:-1] or 'a module'} must hold no dots, got {key!r}: rename it"
                    )
                found.append((prefix + key, item))
            if not isinstance(item, Tensor):
                _collect(item, f"{prefix}{key}.", kind, seen, found)


def _items(holder: Any) -> Iterable[tuple[str, Any]]:
    """The members of a list, tuple or dict with their names."""
    if not isinstance(holder, dict):
        return [(str(i), item) for i, item in enumerate(holder)]
    if len({str(key) for key in holder}) < len(holder):
        raise ValueError(f"keys must differ as text, for they become names, got {list(holder)}: rename one")
    return [(str(key), item) for key, item in holder.items()]


_HOLDS_WEIGHTS = ("weights", "training run")  # what kinds of file have them
_REACHABLE = (Tensor, Module, list, tuple, dict)
