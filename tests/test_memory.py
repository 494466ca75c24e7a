"""Deep graphs come and go without recursion, and what training uses it gives back, without the garbage collector."""

from __future__ import annotations

import gc
import platform
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from optimizer_cases import make

from tinygpt import Module, Optimizer, Tensor, losses, nn

DEEP = 100_000  # operations; Python allows a recursion of a thousand


@pytest.fixture(autouse=True)
def _no_garbage_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# --- depth -----------------------------------------------------------------------------------------------------------

LINKS: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda y, x: y.sin(),
    lambda y, x: y + x,
    lambda y, x: y * x,
    lambda y, x: y.softmax(),
    lambda y, x: y - y.tanh(),  # of two that come from one
    lambda y, x: Tensor.where(FIRST, y, x),
    lambda y, x: Tensor.concatenate([x, y])[1:3],
]
FIRST = np.array([True, False])


def chain(leaf: Tensor) -> tuple[Tensor, weakref.ref[Any]]:
    """The last of a hundred thousand operations, one upon the other, and a weak reference to the first."""
    y = first = leaf * 2
    watched = weakref.ref(first)
    del first
    for i in range(DEEP):
        y = LINKS[i % len(LINKS)](y, leaf)
    return y, watched


def leaf() -> Tensor:
    return Tensor([0.5, -0.25], requires_grad=True)


def test_a_deep_graph_is_differentiated_and_freed() -> None:
    x = leaf()
    y, watched = chain(x)
    y.sum().backward()
    assert (watched(), np.isfinite(x.grad).all()) == (None, True)


def test_a_deep_graph_that_is_not_used_is_freed() -> None:
    y, watched = chain(leaf())
    del y
    assert watched() is None


def test_a_deep_graph_that_was_kept_is_freed() -> None:
    y, watched = chain(leaf())
    loss = y.sum()
    del y
    loss.backward(retain_graph=True)
    assert watched() is not None
    del loss
    assert watched() is None


# --- the level of memory ---------------------------------------------------------------------------------------------

KILOBYTE = 1024  # of growth in a thousand steps: some numbers grow a digit; to keep one float a step would be 24000


def train(model: Module, optimizer: Optimizer, steps: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(steps):
        x = Tensor(rng.normal(size=(4, 3)).astype(np.float32))
        optimizer.zero_grad()
        losses.cross_entropy(model(x), [0, 1, 0, 1]).backward()
        optimizer.update()


def growth(steps: int, name: str, **setting: Any) -> tuple[int, int]:
    """How many bytes more are in use after so many steps, and how many objects only a collector would have freed."""
    model = nn.MLP((3, 4, 2), rng=np.random.default_rng(0))
    optimizer = make(name, model, learning_rate=1e-3, **setting)
    tracemalloc.start()
    try:
        train(model, optimizer, 20)
        gc.collect()  # which empties Python's store of freed tuples, too
        before, _ = tracemalloc.get_traced_memory()
        train(model, optimizer, steps)
        unreachable = gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before, unreachable


def test_a_thousand_steps_of_training_leave_the_memory_where_it_was() -> None:
    bytes_more, unreachable = growth(1000, "Adam")
    assert unreachable == 0
    assert bytes_more <= KILOBYTE


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no other C library can be told")
def test_what_arrays_free_need_not_be_asked_of_the_system_again() -> None:
    import resource  # which not every system has

    def pages_asked_for() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        _ = [np.ones(500_000, np.float32) for _ in range(40)]  # as large as those of a GPT's layer, and as many
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    pages_asked_for()
    assert pages_asked_for() < 200  # of 20,000


def test_a_model_and_its_optimizer_die_with_their_last_reference() -> None:
    model = nn.MLP((3, 4, 2), rng=np.random.default_rng(0))
    optimizer = make("Adam", model)
    train(model, optimizer, 3)
    watched = [weakref.ref(model), weakref.ref(next(model.parameters())), weakref.ref(optimizer)]
    del model, optimizer
    assert [w() for w in watched] == [None] * 3
