"""Record a small GPT-2 as transformers writes it, and what it computes, for tests/test_pretrained.py to compare with.

Run by hand (the tests read the files, and need safetensors alone):

    pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
    pip install transformers==5.23.0
    python tests/reference/make_gpt2.py

Writes the folder gpt2 beside itself: config.json and model.safetensors, by save_pretrained; and outputs.json with
tokens, their float32 logits, and prompts with their greedy continuation up to the context's length.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel

FOLDER = Path(__file__).with_name("gpt2")
PROMPT = 3


def make_model() -> GPT2LMHeadModel:
    """Draw a model whose weights are as large as after some training, so that every one of them counts."""
    config = GPT2Config(
        vocab_size=23, n_positions=12, n_embd=12, n_layer=2, n_head=3, bos_token_id=None, eos_token_id=None
    )
    model, rng = GPT2LMHeadModel(config).eval(), np.random.default_rng(7)  # it writes several tokens
    with torch.no_grad():
        for name, weight in model.named_parameters():
            mean = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
            weight.copy_(torch.tensor(rng.normal(mean, 0.4, weight.shape)))
    return model


def main() -> None:
    """Write the folder."""
    model, rng = make_model(), np.random.default_rng(1)
    tokens = rng.integers(model.config.vocab_size, size=(3, model.config.n_positions))
    prompts = torch.tensor(tokens[:, :PROMPT])
    with torch.no_grad():
        logits = model(torch.tensor(tokens)).logits
        written = model.generate(
            prompts, attention_mask=torch.ones_like(prompts), do_sample=False, max_length=model.config.n_positions
        )
    model.save_pretrained(FOLDER)
    (FOLDER / "generation_config.json").unlink()
    outputs = {
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "tokens": tokens.tolist(),
        "logits": logits.numpy().astype(str).astype(float).tolist(),
        "prompt": PROMPT,
        "written": written.tolist(),
    }
    text = json.dumps(outputs, separators=(",", ":"), allow_nan=False) + "\n"
    (FOLDER / "outputs.json").write_text(text, encoding="ascii")
    for file in sorted(FOLDER.iterdir()):
        print(f"{file.name}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
