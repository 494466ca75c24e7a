"""GPT-2's files: what transformers wrote is read, what it could read is written, and what does not fit is named."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tinygpt import pretrained
from tinygpt.gpt import GPT, GPTConfig

REFERENCE = Path(__file__).parent / "reference" / "gpt2"
OUTPUTS = json.loads((REFERENCE / "outputs.json").read_text(encoding="ascii"))
TOKENS = np.array(OUTPUTS["tokens"])
TOLERANCE = 1e-5  # some hundred roundings of 6e-8, in another order

Config = dict[str, Any]
Tensors = dict[str, Any]
Change = Callable[[Config, Tensors], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what transformers wrote."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((REFERENCE / name).read_bytes())
    return tmp_path


def edit(folder: Path, change: Change) -> None:
    """Change the config and the tensors in the folder."""
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    change(config, tensors)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "model.safetensors")


def rename(tensors: Tensors, old: str, new: str) -> None:
    for name in list(tensors):
        if name.startswith(old):
            tensors[new + name.removeprefix(old)] = tensors.pop(name)


def weights(model: GPT) -> dict[str, Any]:
    return {name: parameter.data.tolist() for name, parameter in model.named_parameters()}


# --- what transformers wrote ------------------------------------------------------------------------------------------


def test_logits_are_those_of_transformers() -> None:
    expected = np.array(OUTPUTS["logits"])
    found = GPT.from_pretrained(REFERENCE)(TOKENS).data
    assert np.max(np.abs(found - expected)) <= TOLERANCE * np.max(np.abs(expected))


def test_the_likeliest_text_is_that_of_transformers() -> None:
    prompts = TOKENS[:, : OUTPUTS["prompt"]]
    written = GPT.from_pretrained(REFERENCE).generate(prompts, 12 - OUTPUTS["prompt"], temperature=0)
    assert written.tolist() == OUTPUTS["written"]


def test_the_config_is_read() -> None:
    assert GPT.from_pretrained(REFERENCE).config == GPTConfig(23, 12, 2, 3, 12, dropout=0.1)


def test_what_was_read_is_ready_to_write() -> None:
    assert {module.training for module in GPT.from_pretrained(str(REFERENCE)).modules()} == {False}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_have_the_dtype_that_is_asked_for(dtype: Any) -> None:
    assert {p.dtype for p in GPT.from_pretrained(REFERENCE, dtype).parameters()} == {np.dtype(dtype)}


@pytest.mark.parametrize(
    "change",
    [
        lambda c, t: rename(t, "transformer.", ""),
        lambda c, t: t.update({"lm_head.weight": t["transformer.wte.weight"]}),
        lambda c, t: t.update({f"transformer.h.{i}.attn.bias": np.tri(12)[None, None] for i in range(2)}),
        lambda c, t: t.update({f"transformer.h.{i}.attn.masked_bias": np.float32([-1e4]) for i in range(2)}),
        lambda c, t: t.update({name: tensor.astype(np.float64) for name, tensor in t.items()}),
        lambda c, t: c.update({"n_inner": 48}),
        lambda c, t: [c.pop(name) for name in list(c) if not name.startswith(("n_", "vocab"))],
    ],
    ids=["unprefixed", "head", "bias", "masked_bias", "float64", "n_inner", "config of few words"],
)
def test_other_ways_to_write_the_same_model(folder: Path, change: Change) -> None:
    edit(folder, change)
    assert weights(GPT.from_pretrained(folder)) == weights(GPT.from_pretrained(REFERENCE))


def test_half_precision_is_read_as_it_is(folder: Path) -> None:
    edit(folder, lambda c, t: t.update({name: tensor.astype(np.float16) for name, tensor in t.items()}))
    half, whole = weights(GPT.from_pretrained(folder)), weights(GPT.from_pretrained(REFERENCE))
    assert half == {name: np.float16(value).tolist() for name, value in whole.items()}


# --- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "llama"),
        ("activation_function", "relu"),
        ("activation_function", "gelu"),
        ("layer_norm_epsilon", 1e-6),
        ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True),
        ("reorder_and_upcast_attn", True),
        ("add_cross_attention", True),
        ("tie_word_embeddings", False),
        ("n_inner", 24),
    ],
)
def test_what_tinygpt_cannot_do_is_named(folder: Path, field: str, value: Any) -> None:
    edit(folder, lambda c, t: c.update({field: value}))
    with pytest.raises(
        ValueError, match=rf"^{field} in .*config.json must be .*, got {value!r}: tinygpt does no other$"
    ):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize("size", ["vocab_size", "n_positions", "n_layer", "n_head", "n_embd"])
@pytest.mark.parametrize("value", [None, "2", 2.0])
def test_sizes_are_integers(folder: Path, size: str, value: Any) -> None:
    edit(folder, lambda c, t: c.update({size: value}))
    with pytest.raises(
        ValueError, match=rf"^{size} in .*config.json must be an integer, got {value!r}: mend the file$"
    ):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_a_config_that_is_none_is_named(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"config\.json must .*: take the file anew$"):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c, t: t.pop("transformer.wpe.weight"), "lacks wpe.weight"),
        (lambda c, t: t.update({"score.weight": np.ones((2, 12))}), "has score.weight"),
        (
            lambda c, t: rename(t, "transformer.ln_f", "ln_g"),
            "lacks ln_f.bias, ln_f.weight and has ln_g.bias, ln_g.weight",
        ),
        (lambda c, t: c.update({"n_layer": 3}), "lacks h.2.attn.c_attn.bias, .*, h.2.ln_1.bias and 7 more"),
        (lambda c, t: c.update({"n_layer": 1}), "has h.1.attn.c_attn.bias, .*, h.1.ln_1.bias and 7 more"),
    ],
    ids=["missing", "extra", "both", "many missing", "many extra"],
)
def test_tensors_that_are_missing_or_too_many_are_named(folder: Path, change: Change, complaint: str) -> None:
    edit(folder, change)
    expected = rf"model.safetensors must hold GPT-2's tensors, but {complaint}: take that of a GPT-2$"
    with pytest.raises(ValueError, match=expected):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize("name", ["attn.c_attn", "mlp.c_fc", "mlp.c_proj"])
def test_weights_as_pytorchs_linear_keeps_them_are_refused(folder: Path, name: str) -> None:
    whole = f"transformer.h.1.{name}.weight"
    edit(folder, lambda c, t: t.update({whole: t[whole].T}))
    expected = (
        rf"^{whole} in .*model.safetensors must have shape \(\d+, \d+\), got .*: take both files of one GPT-2, with"
    )
    with pytest.raises(ValueError, match=expected):
        GPT.from_pretrained(folder)


def test_every_shape_is_compared_with_the_config(folder: Path) -> None:
    for name in load_file(REFERENCE / "model.safetensors"):
        edit(folder, lambda c, t: t.update({name: t[name][..., :-1]}))  # noqa: B023  called at once
        with pytest.raises(ValueError, match=rf"^{name} in .*model.safetensors must have shape"):
            GPT.from_pretrained(folder)
        (folder / "model.safetensors").write_bytes((REFERENCE / "model.safetensors").read_bytes())


def test_a_head_of_its_own_is_refused(folder: Path) -> None:
    edit(folder, lambda c, t: t.update({"lm_head.weight": t["transformer.wte.weight"] + 1}))
    with pytest.raises(
        ValueError, match=r"^lm_head.weight in .* must be wte.weight, but they differ: take a GPT-2 with"
    ):
        GPT.from_pretrained(folder)


def test_bfloat16_is_refused_by_name(folder: Path) -> None:
    file = folder / "model.safetensors"
    length = int.from_bytes((raw := file.read_bytes())[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            entry.update(dtype="BF16", data_offsets=[begin // 2, end // 2])
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :][: (len(raw) - 8 - length) // 2])
    with pytest.raises(
        ValueError, match=r"must be F16, F32 or F64, got BF16: write it with PyTorch's model.float\(\)$"
    ):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-8], lambda raw: b"", lambda raw: b"{}" * 99], ids=["cut", "0", "text"]
)
def test_a_damaged_file_is_refused(folder: Path, damage: Any) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(
        ValueError, match=r"model.safetensors must be a whole safetensors file, but .*: take the file anew$"
    ):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"must hold {name}, but does not: write it with save_pretrained, in one"
    ):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize(
    "use", [lambda f: GPT.from_pretrained("gpt2"), lambda f: GPT(GPTConfig(2, 2)).save_pretrained(f)]
)
def test_without_safetensors_it_is_said_how_to_get_it(
    use: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    monkeypatch.setattr(pretrained, "fetch", None)  # half a gigabyte would be fetched for nothing
    expected = r'^model.safetensors needs the library safetensors: pip install "tinygpt\[pretrained\]"$'
    with pytest.raises(RuntimeError, match=expected):
        use(tmp_path / "gpt")


# --- what OpenAI published --------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of huggingface.co, where our small model is gpt2; and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrained, "HUB", (tmp_path / "hub").as_uri())
    files = {name: (REFERENCE / name).read_bytes() for name in ("config.json", "model.safetensors")}
    files |= {"vocab.json": b"{}", "merges.txt": b"#version: 0.2\n"}
    place = tmp_path / "hub" / "gpt2" / "resolve" / pretrained.RELEASES["gpt2"].commit
    place.mkdir(parents=True)
    for name, raw in files.items():
        (place / name).write_bytes(raw)
    sums = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
    release = pretrained.RELEASES["gpt2"]._replace(config=sums["config.json"], weights=sums["model.safetensors"])
    monkeypatch.setitem(pretrained.RELEASES, "gpt2", release)
    monkeypatch.setattr(pretrained, "TOKENIZER", {name: sums[name] for name in ("vocab.json", "merges.txt")})
    return place


@pytest.mark.usefixtures("hub")
def test_a_published_model_is_read_by_its_name() -> None:
    assert weights(GPT.from_pretrained("gpt2")) == weights(GPT.from_pretrained(REFERENCE))


def test_it_is_fetched_once_with_its_tokenizers_files(hub: Path, tmp_path: Path) -> None:
    pretrained.download("gpt2")
    for file in hub.iterdir():
        file.unlink()
    kept = sorted(file.name for file in pretrained.download("gpt2").iterdir())
    assert kept == ["config.json", "merges.txt", "model.safetensors", "vocab.json"]


def test_every_size_has_the_same_tokenizer(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(pretrained, "fetch", lambda url, sha256, folder: asked.append((url, folder.name)))
    pretrained.download("gpt2-xl")
    commit, xl = pretrained.RELEASES["gpt2"].commit, pretrained.RELEASES["gpt2-xl"].commit
    assert [url.removeprefix(pretrained.HUB) for url, _ in asked] == [
        f"/gpt2-xl/resolve/{xl}/config.json",
        f"/gpt2/resolve/{commit}/vocab.json",
        f"/gpt2/resolve/{commit}/merges.txt",
        f"/gpt2-xl/resolve/{xl}/model.safetensors",
    ]


def test_a_folder_of_that_name_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename(folder.parent / "gpt2")
    monkeypatch.chdir(folder.parent)
    assert weights(GPT.from_pretrained("gpt2")) == weights(GPT.from_pretrained(REFERENCE))


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_without_a_network_it_is_said_what_failed_and_what_belongs_where(
    hub: Path, tmp_path: Path, missing: str
) -> None:
    (hub / missing).unlink()
    kept = tmp_path / "cache" / "tinygpt" / "gpt2"
    with pytest.raises(ConnectionError) as caught:
        GPT.from_pretrained("gpt2")
    told = str(caught.value)
    assert told.startswith(f"{(hub / missing).as_uri()} must be there to fetch, but ")
    assert told.endswith(
        f": try again, or put the file at {kept / missing}; "
        f"that folder must hold config.json, vocab.json, merges.txt, model.safetensors"
    )


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "merges.txt", "model.safetensors"])
def test_a_file_that_is_another_is_refused(hub: Path, name: str) -> None:
    (hub / name).write_bytes(b"another")
    with pytest.raises(ValueError, match=rf"/{name} must have the sha256"):
        GPT.from_pretrained("gpt2")


def test_a_name_that_nobody_knows_is_refused() -> None:
    known = "gpt2, gpt2-medium, gpt2-large, gpt2-xl"
    with pytest.raises(
        ValueError, match=rf"^a GPT-2 must be a folder that exists or one of {known}, got 'gpt3': check"
    ):
        GPT.from_pretrained("gpt3")


def test_commits_and_sums_have_their_lengths() -> None:
    lengths = {tuple(map(len, release)) for release in pretrained.RELEASES.values()}
    assert (lengths, set(map(len, pretrained.TOKENIZER.values()))) == ({(40, 64, 64)}, {64})


# --- what is written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gpt_round_trips(tmp_path: Path, dtype: Any) -> None:
    model = GPT(GPTConfig(11, 6, 2, 2, 8, dropout=0.25), np.random.default_rng(0), dtype)
    model.save_pretrained(tmp_path / "new" / "gpt")
    again = GPT.from_pretrained(tmp_path / "new" / "gpt", dtype)
    assert (again.config, weights(again)) == (model.config, weights(model))


def test_what_was_read_is_written_as_transformers_wrote_it(tmp_path: Path) -> None:
    GPT.from_pretrained(REFERENCE).save_pretrained(tmp_path)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path, REFERENCE))
    assert {n: (t.dtype, t.tolist()) for n, t in ours.items()} == {n: (t.dtype, t.tolist()) for n, t in theirs.items()}


def test_the_config_says_what_transformers_would(tmp_path: Path) -> None:
    GPT.from_pretrained(REFERENCE).save_pretrained(tmp_path)
    ours, theirs = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path, REFERENCE))
    assert ours == {**{name: theirs[name] for name in ours}, "attn_pdrop": 0.0}


@pytest.mark.parametrize(("size", "end"), [(50256, None), (50257, 50256)])
def test_a_text_ends_with_gpt2s_last_token_where_it_is_there(tmp_path: Path, size: int, end: int | None) -> None:
    GPT(GPTConfig(size, 1, 1, 1, 1)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"]) == (end, end)


def test_the_format_is_named_as_transformers_asks(tmp_path: Path) -> None:
    GPT(GPTConfig(2, 1, 1, 1, 1)).save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}


def test_weights_are_written_whatever_way_they_lie_in_memory(tmp_path: Path) -> None:
    model = GPT(GPTConfig(11, 6, 2, 2, 8), np.random.default_rng(0))
    for parameter in model.parameters():
        parameter.data = np.asfortranarray(parameter.data)
    model.save_pretrained(tmp_path)
    assert weights(GPT.from_pretrained(tmp_path)) == weights(model)


def test_a_write_that_fails_leaves_what_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> bytes:
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.numpy.save", fail)
    with pytest.raises(OSError, match="no space"):
        GPT(GPTConfig(11, 6, 2, 2, 8)).save_pretrained(folder)
    assert weights(GPT.from_pretrained(folder)) == weights(GPT.from_pretrained(REFERENCE))
