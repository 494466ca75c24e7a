"""GPT: what PyTorch computes; and laws of its shape and start, of what a token may see, of how text is generated."""

from __future__ import annotations

import gc
import json
import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygpt import AdamW, Tensor, no_grad, schedules
from tinygpt.gpt import GPT, GPTConfig
from tinygpt.losses import cross_entropy
from tinygpt.nn import Past
from tinygpt.optimizers import clip_gradients

REFERENCE = json.loads((Path(__file__).parent / "reference" / "gpt.json").read_text(encoding="ascii"))
TOLERANCES = {"float64": 1e-10, "float32": 1e-5}  # a hundred roundings, of 1.1e-16 or 6e-8, in another order

TINY = GPTConfig(vocabulary_size=11, context_length=6, layers=2, heads=2, width=8)
PROMPTS = np.array([[3, 1, 4], [10, 0, 2]])
BLAS = 1e-12  # with other shapes BLAS adds the terms of a product in another order

NAMES_OF_A_BLOCK = [
    "attention_norm.weight",
    "attention_norm.bias",
    "attention.qkv.weight",
    "attention.qkv.bias",
    "attention.output.weight",
    "attention.output.bias",
    "mlp_norm.weight",
    "mlp_norm.bias",
    "mlp.layers.0.weight",
    "mlp.layers.0.bias",
    "mlp.layers.1.weight",
    "mlp.layers.1.bias",
]


def start(config: GPTConfig = TINY, seed: int = 0, dtype: Any = np.float64) -> GPT:
    """A GPT before training: it finds all tokens nearly equally likely."""
    return GPT(config, np.random.default_rng(seed), dtype)


def decided(config: GPTConfig = TINY, seed: int = 0, dtype: Any = np.float64) -> GPT:
    """A GPT whose weights are so large that it likes some tokens much better than others, as after training."""
    model, rng = start(config, seed, dtype), np.random.default_rng(seed + 1)
    for parameter in model.parameters():
        parameter.data = (parameter.data + rng.normal(0, 0.4, parameter.shape)).astype(dtype)
    return model


def likeliest(model: GPT, tokens: Any) -> Any:
    """The likeliest next token of each row, all tokens read anew."""
    model.eval()
    window = np.asarray(tokens)[..., -model.config.context_length :]
    return model(window).data[..., -1, :].argmax(axis=-1)


# --- the same numbers as PyTorch --------------------------------------------------------------------------------------


def pytorchs(dtype: Any) -> GPT:
    """The GPT whose weights PyTorch was given."""
    model = start(GPTConfig(**REFERENCE["sizes"]), dtype=dtype)
    model.load_weights([(name, np.array(value, np.float32)) for name, value in REFERENCE["weights"].items()])
    return model


def distance(found: Any, expected: Any) -> float:
    """The largest difference between two arrays, relative to the largest number that is expected."""
    return float(np.max(np.abs(np.asarray(found) - expected)) / np.max(np.abs(expected)))


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_logits_and_loss_are_pytorchs(dtype: str) -> None:
    expected, logits = REFERENCE[dtype], pytorchs(dtype)(REFERENCE["tokens"][0])
    loss = cross_entropy(logits, REFERENCE["targets"][0], REFERENCE["ignored"])
    found = (distance(logits.data, expected["logits"]), distance(loss.data, expected["loss"]))
    assert max(found) <= TOLERANCES[dtype]


@pytest.mark.parametrize("name", REFERENCE["weights"])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_every_gradient_is_pytorchs(dtype: str, name: str) -> None:
    model = pytorchs(dtype)
    cross_entropy(model(REFERENCE["tokens"][0]), REFERENCE["targets"][0], REFERENCE["ignored"]).backward()
    found = dict(model.named_parameters())[name].grad
    assert distance(found, REFERENCE[dtype]["gradients"][name]) <= TOLERANCES[dtype]


def trained() -> tuple[GPT, dict[str, list[float]]]:
    """The GPT after the steps of training that PyTorch took, and what was seen at each."""
    model, setting = pytorchs("float64"), REFERENCE["training"]
    rate = schedules.warmup(schedules.cosine(setting["learning_rate"], setting["steps"]), setting["warmup"])
    optimizer = AdamW(model, rate, **{key: setting[key] for key in ("betas", "eps", "weight_decay")})
    seen: dict[str, list[float]] = {"losses": [], "norms": [], "learning_rates": []}
    for tokens, targets in zip(REFERENCE["tokens"], REFERENCE["targets"], strict=True):
        loss = cross_entropy(model(tokens), targets, REFERENCE["ignored"])
        model.zero_grad()
        loss.backward()
        seen["losses"].append(loss.item())
        seen["norms"].append(clip_gradients(model, setting["max_norm"]))
        seen["learning_rates"].append(optimizer.learning_rate)
        optimizer.update()
    return model, seen


@pytest.mark.parametrize("what", ["losses", "norms", "learning_rates"])
def test_training_goes_as_pytorchs(what: str) -> None:
    assert distance(trained()[1][what], REFERENCE["trained"][what]) <= TOLERANCES["float64"]


def test_training_ends_where_pytorchs_does() -> None:
    expected = REFERENCE["trained"]["weights"]
    found = {name: distance(p.data, expected[name]) for name, p in trained()[0].named_parameters()}
    assert max(found.values()) <= TOLERANCES["float64"]


def test_the_reference_clips_some_steps_and_others_not() -> None:
    clipped = {norm > REFERENCE["training"]["max_norm"] for norm in REFERENCE["trained"]["norms"]}
    assert clipped == {True, False}


# --- the shape --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vocabulary_size", "context_length", "layers", "heads", "width"])
@pytest.mark.parametrize("count", [0, -1, 1.0, np.nan, "2", None])
def test_counts_are_integers_from_1_on(name: str, count: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be an integer >= 1, got {count!r}$"):
        GPTConfig(**{"vocabulary_size": 11, "context_length": 6, name: count})


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match=r"^heads must divide width, got heads=3 and width=8: change one$"):
        GPTConfig(11, 6, heads=3, width=8)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, np.nan])
def test_dropout_is_a_share_below_one(dropout: float) -> None:
    with pytest.raises(ValueError, match=r"^dropout must be in \[0, 1\), got .*: 0 leaves nothing out$"):
        GPTConfig(11, 6, dropout=dropout)


def test_the_names_of_the_parameters_are_those_of_checkpoints() -> None:
    blocks = [f"blocks.{i}.{name}" for i in range(2) for name in NAMES_OF_A_BLOCK]
    expected = ["token_embedding.weight", "position_embedding.weight", *blocks, "norm.weight", "norm.bias"]
    assert [name for name, _ in start().named_parameters()] == expected


@pytest.mark.parametrize("config", [TINY, GPTConfig(5, 3, 1, 1, 4), GPTConfig(2, 9, 3, 4, 12)], ids=str)
def test_there_are_as_many_numbers_as_the_architecture_says(config: GPTConfig) -> None:
    w = config.width
    block = 12 * w * w + 13 * w
    expected = (config.vocabulary_size + config.context_length) * w + config.layers * block + 2 * w
    assert sum(p.size for p in start(config).parameters()) == expected


def test_tied_weights_are_one_parameter() -> None:
    model, unseen = start(), 7
    before = model([3, 1]).data
    changed = model.token_embedding.weight.data.copy()
    changed[unseen] += 1
    model.token_embedding.weight.data = changed
    moved = (model([3, 1]).data != before).any(axis=0)
    assert np.flatnonzero(moved).tolist() == [unseen]


# --- the start --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 8])
def test_weights_start_as_gpt2s(layers: int) -> None:
    model = start(GPTConfig(65, 32, layers, 4, 64))
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            adds = name.endswith(("attention.output.weight", "mlp.layers.1.weight"))  # to the residual stream
            wanted = 0.02 / np.sqrt(2 * layers) if adds else 0.02
            five_deviations = 5 * wanted / np.sqrt(2 * parameter.size)
            assert (name, parameter.data.std()) == (name, pytest.approx(wanted, abs=five_deviations))


def test_biases_start_at_zero_and_norms_leave_their_input_alone() -> None:
    vectors = {name: set(p.data.tolist()) for name, p in start().named_parameters() if p.ndim == 1}
    assert vectors == {name: {1.0} if name.endswith("norm.weight") else {0.0} for name in vectors}


def test_before_training_a_gpt_is_as_surprised_as_if_it_guessed() -> None:
    model, rng = start(GPTConfig(65, 32, width=64)), np.random.default_rng(1)
    loss = cross_entropy(model(rng.integers(65, size=(8, 32))), rng.integers(65, size=(8, 32))).item()
    assert loss == pytest.approx(np.log(65), abs=0.05)  # logits vary by 0.02 · √64, of which half the square is 0.013


def test_the_same_generator_gives_the_same_gpt() -> None:
    a, b = ([p.data.tolist() for p in start(seed=3).parameters()] for _ in range(2))
    assert a == b


@pytest.mark.parametrize("other", [lambda: start(seed=4), lambda: GPT(TINY)])
def test_another_generator_gives_another_gpt(other: Any) -> None:
    pairs = [(p.data, q.data) for p, q in zip(start(seed=3).parameters(), other().parameters(), strict=True)]
    assert all((p != q).all() for p, q in pairs if p.ndim == 2)


# --- tokens in, logits out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [PROMPTS, PROMPTS[0]], ids=["batch", "row"])
@pytest.mark.parametrize("kind", [np.ndarray.tolist, Tensor, np.uint8, np.int64], ids=["list", "tensor", "u8", "i64"])
def test_tokens_come_as_lists_arrays_or_tensors(tokens: Any, kind: Any) -> None:
    logits = start()(kind(tokens))
    assert np.array_equal(logits.data, start()(tokens).data)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 3)])
def test_there_are_logits_for_every_token(shape: tuple[int, ...]) -> None:
    assert start()(np.zeros(shape, int)).shape == (*shape, 11)


def test_a_gpt_reads_as_many_tokens_as_its_context_is_long() -> None:
    with pytest.raises(ValueError, match=r"^tokens must be at most context_length=6, got 7: give the last ones, or "):
        start()([0] * 7)


@pytest.mark.parametrize("token", [-1, 11])
@pytest.mark.parametrize("use", [lambda tokens: start()(tokens), lambda tokens: start().generate(tokens, 1)])
def test_tokens_that_are_not_in_the_vocabulary_are_named(use: Any, token: int) -> None:
    with pytest.raises(ValueError, match=r"^tokens must be in \[0, 11\), got .*: use the tokenizer of this model$"):
        use([0, token])


@pytest.mark.parametrize("use", [lambda tokens: start()(tokens), lambda tokens: start().generate(tokens, 1)])
def test_tokens_are_integers(use: Any) -> None:
    with pytest.raises(TypeError, match=r"^tokens must be integers, got dtype float64: encode the text first$"):
        use([0.0, 1.0])


@pytest.mark.parametrize("tokens", [3, [], [[], []]])
@pytest.mark.parametrize("use", [lambda tokens: start()(tokens), lambda tokens: start().generate(tokens, 1)])
def test_there_is_a_first_token(use: Any, tokens: Any) -> None:
    with pytest.raises(ValueError, match=r"^tokens must be rows of one or more, got shape .*: begin with any token$"):
        use(tokens)


def test_a_token_does_not_see_those_after_it() -> None:
    model = decided()
    assert np.array_equal(model([3, 1, 4, 1, 5]).data[:3], model([3, 1, 4, 9, 2]).data[:3])


def test_a_token_sees_all_before_it() -> None:
    model = decided()
    last = [model(tokens).data[-1] for tokens in ([3, 1, 4, 1, 5], [9, 1, 4, 1, 5], [3, 1, 9, 1, 5])]
    assert all((a != b).all() for a, b in pairwise(last))


def test_a_token_knows_its_place() -> None:
    first, second = decided()([3, 3]).data  # without positions both would see the same
    assert (first != second).all()


def test_rows_of_a_batch_do_not_see_each_other() -> None:
    model = decided()
    np.testing.assert_allclose(model(PROMPTS).data, [model(row).data for row in PROMPTS], rtol=BLAS, atol=BLAS)


# --- gradients and memory ---------------------------------------------------------------------------------------------


def loss_of(model: GPT) -> Tensor:
    return cross_entropy(model(PROMPTS), [[1, 4, 1], [-1, 2, 7]], ignore_index=-1)


@pytest.mark.parametrize("name", [name for name, _ in start().named_parameters()])
def test_the_slope_along_any_direction_is_that_of_central_differences(name: str) -> None:
    model = decided()
    loss_of(model).backward()
    parameter = dict(model.named_parameters())[name]
    value, direction = parameter.data, np.random.default_rng(2).normal(size=parameter.shape)
    ends = []
    for step in (+1e-5, -1e-5):
        parameter.data = value + step * direction
        ends.append(loss_of(model).item())
    assert (parameter.grad * direction).sum() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_everything_keeps_the_dtype_of_the_parameters(dtype: Any) -> None:
    model = start(GPTConfig(11, 6, 2, 2, 8, dropout=0.1), dtype=dtype)
    loss = loss_of(model)
    loss.backward()
    found = [loss, *model.parameters(), *(Tensor(p.grad) for p in model.parameters())]
    assert {tensor.dtype for tensor in found} == {np.dtype(dtype)}


def test_a_gpt_is_float32_unless_told() -> None:
    assert {p.dtype for p in GPT(TINY).parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_training_step_lowers_the_loss(dtype: Any) -> None:
    model = start(dtype=dtype)
    optimizer = AdamW(model, learning_rate=1e-3)
    before = loss_of(model)
    before.backward()
    optimizer.update()
    assert loss_of(model).item() < before.item() - 1e-3


def test_backward_frees_what_the_model_computed() -> None:
    model = start(GPTConfig(11, 6, 2, 2, 8, dropout=0.1))
    gc.disable()
    try:
        loss = loss_of(model)
        graph, watched = [loss], []
        while graph:
            sources = [source for source, _ in graph.pop()._sources or ()]
            graph += sources
            watched += [weakref.ref(source) for source in sources if source._sources]
        del sources
        loss.backward()
        alive = [w() is not None for w in watched]
    finally:
        gc.enable()
    assert (len(alive) > 30, any(alive)) == (True, False)


def test_weights_round_trip(tmp_path: Any) -> None:
    saved, loaded = start(seed=0), start(seed=1)
    saved.save_weights(tmp_path / "gpt.json")
    loaded.load_weights(tmp_path / "gpt.json")
    assert np.array_equal(saved(PROMPTS).data, loaded(PROMPTS).data)


# --- dropout ----------------------------------------------------------------------------------------------------------

FORGETFUL = GPTConfig(11, 6, 2, 2, 8, dropout=0.5)


def test_dropout_leaves_out_something_else_each_time() -> None:
    model = decided(FORGETFUL)
    assert (model(PROMPTS).data != model(PROMPTS).data).any()


def test_in_evaluation_dropout_leaves_out_nothing() -> None:
    forgetful, model = decided(FORGETFUL).eval(), decided()
    assert np.array_equal(forgetful(PROMPTS).data, model(PROMPTS).data)


def test_nothing_is_left_out_while_generating() -> None:
    written = [decided(config).generate(PROMPTS, 8, temperature=0).tolist() for config in (FORGETFUL, TINY)]
    assert written[0] == written[1]


@pytest.mark.parametrize("tokens", [[3, 1], [0, 11], []], ids=["well", "unknown", "empty"])
def test_after_generating_every_part_is_in_the_mode_it_was_in(tokens: list[int]) -> None:
    model = start(FORGETFUL)
    model.blocks[1].eval()
    before = {name: module.training for name, module in model.named_modules()}
    try:
        model.generate(tokens, 3)
    except ValueError:
        assert tokens != [3, 1]
    assert {name: module.training for name, module in model.named_modules()} == before


# --- generation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", [PROMPTS, PROMPTS.tolist(), Tensor(PROMPTS), [3], [[[3], [1]]], [7] * 9])
def test_text_begins_with_its_prompt(prompt: Any) -> None:
    given = np.asarray(prompt.data if isinstance(prompt, Tensor) else prompt)
    written = start().generate(prompt, 5, rng=np.random.default_rng(0))
    assert (written.shape, written[..., :-5].tolist()) == ((*given.shape[:-1], given.shape[-1] + 5), given.tolist())


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_new_tokens_find_room_beside_small_integers(dtype: Any) -> None:
    model = decided(GPTConfig(300, 6, 1, 2, 8))
    assert np.array_equal(model.generate(PROMPTS.astype(dtype), 5, 0), model.generate(PROMPTS, 5, 0))


@pytest.mark.parametrize("length", [1, 3, 6, 9])
@pytest.mark.parametrize("seed", range(3))
def test_at_temperature_0_each_token_is_the_likeliest(length: int, seed: int) -> None:
    model, tokens = decided(seed=seed), np.random.default_rng(seed).integers(11, size=(2, length))
    written = model.generate(tokens, 12, temperature=0)  # goes on beyond the context of six
    for _ in range(12):
        tokens = np.concatenate([tokens, likeliest(model, tokens)[:, None]], axis=1)
    assert written.tolist() == tokens.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_with_top_k_1_each_token_is_the_likeliest(seed: int) -> None:
    model = decided(seed=seed)
    drawn = model.generate(PROMPTS, 12, top_k=1, rng=np.random.default_rng(seed))
    assert drawn.tolist() == model.generate(PROMPTS, 12, temperature=0).tolist()


def test_of_tokens_equally_likely_the_first_is_taken_as_with_top_k_1() -> None:
    model = start()
    model.token_embedding.weight.data = np.zeros((11, 8))
    drawn = model.generate([[5]], 3, top_k=1, rng=np.random.default_rng(0))
    assert drawn.tolist() == model.generate([[5]], 3, temperature=0).tolist() == [[5, 0, 0, 0]]


def test_each_row_is_written_as_if_it_were_alone() -> None:
    model = decided()
    together = model.generate(PROMPTS, 12, temperature=0)
    assert together.tolist() == [model.generate(row, 12, temperature=0).tolist() for row in PROMPTS]


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (2.0, None), (1.0, 4), (0.7, 100)])
def test_tokens_are_drawn_by_their_probability(temperature: float, top_k: int | None) -> None:
    model, count = decided(), 10_000
    logits = model([3, 1]).data[-1] / temperature
    logits[np.argsort(-logits)[top_k or 11 :]] = -np.inf
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    drawn = model.generate([[3, 1]] * count, 1, temperature, top_k, np.random.default_rng(0))[:, -1]
    off = np.bincount(drawn, minlength=11) / count - probabilities
    five_deviations = 5 * np.sqrt(probabilities * (1 - probabilities) / count)
    assert (np.abs(off) <= five_deviations).all()


def test_the_least_temperature_draws_the_likeliest() -> None:
    model = decided()
    drawn = model.generate(PROMPTS, 12, temperature=5e-324, rng=np.random.default_rng(0))
    assert drawn.tolist() == model.generate(PROMPTS, 12, temperature=0).tolist()


def test_the_same_generator_writes_the_same_text() -> None:
    model = start()
    a, b, c = (model.generate(PROMPTS, 12, rng=np.random.default_rng(seed)).tolist() for seed in (0, 0, 1))
    assert (a == b, a == c) == (True, False)


def test_without_a_generator_the_text_is_another_each_time() -> None:
    model = start()
    assert model.generate([[3]], 60).tolist() != model.generate([[3]], 60).tolist()


def test_no_new_tokens_are_the_prompt() -> None:
    written = start().generate(PROMPTS, 0)
    assert (written.tolist(), np.shares_memory(written, PROMPTS)) == (PROMPTS.tolist(), False)


def test_generating_remembers_no_graph() -> None:
    model = start()
    model.generate(PROMPTS, 3)
    assert {parameter.grad for parameter in model.parameters()} == {None}


@pytest.mark.parametrize(
    "setting",
    [{"temperature": -0.1}, {"temperature": np.nan}, {"top_k": 0}, {"top_k": -1}, {"max_new_tokens": -1}],
    ids=str,
)
def test_settings_that_mean_nothing_are_refused(setting: dict[str, Any]) -> None:
    expected = r"^temperature must be >= 0, top_k >= 1 or None, max_new_tokens >= 0, got .* and .*$"
    with pytest.raises(ValueError, match=expected):
        start().generate([3], **{"max_new_tokens": 1, **setting})


@pytest.mark.parametrize("split", [1, 2, 4])
def test_what_was_seen_before_is_as_good_as_seen_now(split: int) -> None:
    model, tokens = decided(), [3, 1, 4, 1, 5]
    pasts = [Past() for _ in model.blocks]
    with no_grad():
        parts = [model(tokens[:split], pasts).data, model(tokens[split:], pasts).data]
    np.testing.assert_allclose(np.concatenate(parts), model(tokens).data, rtol=BLAS, atol=BLAS)


def test_a_past_counts_towards_the_context() -> None:
    model = start()
    pasts = [Past() for _ in model.blocks]
    model([0] * 4, pasts)
    with pytest.raises(ValueError, match=r"^tokens must be at most context_length=6, got 7: "):
        model([0] * 3, pasts)
