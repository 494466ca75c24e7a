"""GPT-2's files, config.json and model.safetensors: fetched from where they are published, read and written.

This is the layout in which `transformers` keeps a GPT-2 of any size. The library safetensors is needed:
`pip install "tinygpt[pretrained]"`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygpt import checkpoint
from tinygpt.corpora import cache_folder, fetch

CONFIG, WEIGHTS = "config.json", "model.safetensors"

Layout = Mapping[str, tuple[str, tuple[int, ...]]]  # GPT-2's name of every parameter: ours, and its shape

# --- what OpenAI published -------------------------------------------------------------------------------------------

HUB = "https://huggingface.co/openai-community"


class Release(NamedTuple):
    """A commit on huggingface.co, and the sha256 of its files, as several who fetched that commit made them public."""

    commit: str
    config: str
    weights: str


RELEASES = {
    "gpt2": Release(  # 124 million weights, a file of 548,105,171 bytes
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        "0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4",
        "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
    ),
    "gpt2-medium": Release(  # 355 million, 1,519,984,962 bytes
        "6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
        "ef1a44d889ad1a0acc7731c78134f1b87d2d222f110e97dd10fd4117331caf22",
        "fc5a354a19255ad494f3d71549390baca1ccf61d1d822b9408971705c687c9cd",
    ),
    "gpt2-large": Release(  # 774 million
        "32b71b12589c2f8d625668d2335a01cac3249519",
        "7fccdcfd6622055342a734c663ee0b61ff4fd697f42467595df0bf4448c8c170",
        "5f47f3e12f91cd33b662ce7e433b6150ad5512b5884a2cee961b50e9c3bbebce",
    ),
    "gpt2-xl": Release(  # 1,558 million
        "15ea56dee5df4983c59b2538573817e1667135e2",
        "be48115d52314bc27327e160bf10197760db02ea689d10adb24db4102edf7a8a",
        "0f8b28eb05a8075f48b61b6f35332978c74fc7763fa9fb4051a1c30511736a6a",
    ),
}
TOKENIZER = {  # one for all
    "vocab.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "merges.txt": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}


def download(name: str) -> Path:
    """The folder with a published GPT-2, its tokenizer's files included: fetched once, each checked by its sha256.

    Raises: ConnectionError where a file cannot be had; ValueError for another name, or a file that is another.
    """
    if name not in RELEASES:
        raise ValueError(
            f"a GPT-2 must be a folder that exists or one of {', '.join(RELEASES)}, got {name!r}: check the path"
        )
    release, folder = RELEASES[name], cache_folder() / name
    files = {CONFIG: (name, release.config)}
    files |= {file: ("gpt2", sha256) for file, sha256 in TOKENIZER.items()}
    files |= {WEIGHTS: (name, release.weights)}
    try:
        for file, (model, sha256) in files.items():
            fetch(f"{HUB}/{model}/resolve/{RELEASES[model].commit}/{file}", sha256, folder)
    except ConnectionError as error:
        raise ConnectionError(f"{error}; that folder must hold {', '.join(files)}") from error
    return folder


# --- what stands where ------------------------------------------------------------------------------------------------

_SIZES = {  # GPT-2's word for each, and ours
    "vocab_size": "vocabulary_size",
    "n_positions": "context_length",
    "n_layer": "layers",
    "n_head": "heads",
    "n_embd": "width",
}
_FIXED = {  # tinygpt knows one value of these; it is also what a config means that does not name them
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}
_END_OF_TEXT = 50256  # the last of GPT-2's tokens, which transformers takes for granted
# A part of a block by GPT-2's name: ours, and its weight's shape in widths. GPT-2's Conv1D computes x @ weight + bias
# with weight (inputs, outputs), as nn.Linear here does and PyTorch's does not: nothing is to be transposed.
_PARTS: dict[str, tuple[str, tuple[int, ...]]] = {
    "ln_1": ("attention_norm", (1,)),
    "attn.c_attn": ("attention.qkv", (1, 3)),
    "attn.c_proj": ("attention.output", (1, 1)),
    "ln_2": ("mlp_norm", (1,)),
    "mlp.c_fc": ("mlp.layers.0", (1, 4)),
    "mlp.c_proj": ("mlp.layers.1", (4, 1)),
}
_HEAD, _EMBEDDING = "lm_head.weight", "wte.weight"
_MASKS = re.compile(r"h\.\d+\.attn\.(masked_)?bias")  # constants of the code that wrote the file


def _layout(sizes: Mapping[str, int]) -> Layout:
    w = sizes["width"]
    layout: dict[str, tuple[str, tuple[int, ...]]] = {
        _EMBEDDING: ("token_embedding.weight", (sizes["vocabulary_size"], w)),
        "wpe.weight": ("position_embedding.weight", (sizes["context_length"], w)),
    }
    for i in range(sizes["layers"]):
        for theirs, (ours, widths) in _PARTS.items():
            shape = tuple(n * w for n in widths)
            layout[f"h.{i}.{theirs}.weight"] = (f"blocks.{i}.{ours}.weight", shape)
            layout[f"h.{i}.{theirs}.bias"] = (f"blocks.{i}.{ours}.bias", shape[-1:])
    return layout | {f"ln_f.{kind}": (f"norm.{kind}", (w,)) for kind in ("weight", "bias")}


# --- reading and writing ----------------------------------------------------------------------------------------------


def read(folder_or_name: checkpoint.File) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config's fields and the weights, by tinygpt's names, of a GPT-2 in a folder, or of one that is published.

    Raises: ValueError that names what tinygpt cannot do or what differs; RuntimeError without the library safetensors;
    as `download`; OSError from the disk.
    """
    library = _safetensors()  # before hundreds of megabytes are fetched
    folder = Path(folder_or_name)
    folder = folder if folder.is_dir() else download(str(folder_or_name))
    fields = _read_config(folder / CONFIG)
    return fields, _read_weights(library, folder / WEIGHTS, _layout(fields))


def write(folder: checkpoint.File, fields: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    """Write config.json and model.safetensors, from which `read` and `transformers` make the same model.

    Raises: RuntimeError without the library safetensors; OSError from the disk.
    """
    library = _safetensors()
    config = {"architectures": ["GPT2LMHeadModel"], **_FIXED, "n_inner": None}
    config |= {theirs: fields[ours] for theirs, ours in _SIZES.items()}
    config |= {"resid_pdrop": fields["dropout"], "embd_pdrop": fields["dropout"], "attn_pdrop": 0.0}
    end = _END_OF_TEXT if fields["vocabulary_size"] > _END_OF_TEXT else None
    config |= {"bos_token_id": end, "eos_token_id": end}
    tensors = {  # contiguous, for safetensors writes the memory as it lies
        f"transformer.{theirs}": np.ascontiguousarray(weights[ours]) for theirs, (ours, _) in _layout(fields).items()
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    with checkpoint.replacing(Path(folder) / WEIGHTS) as draft:
        draft.write(library.numpy.save(tensors, metadata={"format": "pt"}))  # transformers asks for a format
    with checkpoint.replacing(Path(folder) / CONFIG) as draft:
        draft.write(json.dumps(config, indent=2).encode("ascii") + b"\n")


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise RuntimeError(f'{WEIGHTS} needs the library safetensors: pip install "tinygpt[pretrained]"') from None
    return safetensors


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(_there(file).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} must be JSON, but {error}: take the file anew") from error
    if not isinstance(config, dict):
        raise ValueError(f"{file} must hold a GPT-2's config, got {config!r}: take the file anew")
    for field, value in _FIXED.items():
        _require_field(file, field, config.get(field, value), value)
    for field in _SIZES:
        if not isinstance(config.get(field), int):
            raise ValueError(f"{field} in {file} must be an integer, got {config.get(field)!r}: mend the file")
    inner = 4 * config["n_embd"]
    _require_field(file, "n_inner", config.get("n_inner") or inner, inner)
    return {ours: config[theirs] for theirs, ours in _SIZES.items()} | {"dropout": config.get("resid_pdrop", 0.1)}


def _read_weights(library: Any, file: Path, layout: Layout) -> dict[str, Any]:
    try:
        with library.safe_open(_there(file), framework="numpy") as tensors:
            found = {name.removeprefix("transformer."): name for name in tensors.keys()}  # noqa: SIM118  no mapping
            found = {short: name for short, name in found.items() if not _MASKS.fullmatch(short)}
            _require_names(file, found.keys() - {_HEAD}, layout)
            for short, name in found.items():
                shape = layout[_EMBEDDING if short == _HEAD else short][1]
                _require_array(f"{name} in {file}", tensors.get_slice(name), shape)
            weights = {short: tensors.get_tensor(name) for short, name in found.items()}
    except library.SafetensorError as error:
        raise ValueError(f"{file} must be a whole safetensors file, but {error}: take the file anew") from error
    if _HEAD in weights and not np.array_equal(weights[_HEAD], weights[_EMBEDDING]):
        raise ValueError(f"{_HEAD} in {file} must be {_EMBEDDING}, but they differ: take a GPT-2 with a tied head")
    return {ours: weights[theirs] for theirs, (ours, _) in layout.items()}


def _there(file: Path) -> Path:
    if not file.is_file():
        raise FileNotFoundError(
            f"{file.parent} must hold {file.name}, but does not: write it with save_pretrained, in one file"
        )
    return file


def _require_field(file: Path, field: str, found: Any, value: Any) -> None:
    if found != value:
        raise ValueError(f"{field} in {file} must be {value!r}, got {found!r}: tinygpt does no other")


def _require_names(file: Path, found: set[str], layout: Layout) -> None:
    complaints = [
        f"{verb} {', '.join(sorted(names)[:5])}{f' and {len(names) - 5} more' * (len(names) > 5)}"
        for verb, names in (("lacks", {*layout} - found), ("has", found - {*layout}))
        if names
    ]
    if complaints:
        raise ValueError(f"{file} must hold GPT-2's tensors, but {' and '.join(complaints)}: take that of a GPT-2")


def _require_array(what: str, tensor: Any, shape: tuple[int, ...]) -> None:
    found, dtype = tuple(tensor.get_shape()), tensor.get_dtype()
    if found != shape:
        raise ValueError(
            f"{what} must have shape {shape}, got {found}: take both files of one GPT-2, with weights (inputs, outputs)"
        )
    if dtype not in ("F16", "F32", "F64"):  # NumPy has no bfloat16
        raise ValueError(f"{what} must be F16, F32 or F64, got {dtype}: write it with PyTorch's model.float()")
