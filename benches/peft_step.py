#!/usr/bin/env python3
"""One training step of PyTorch + PEFT, timed as `tune bench` times its own; prints one JSON line.

A step is forward, backward and AdamW on random ids with loss on every token, LoRA (alpha 16, dropout
0.05) on all linear layers of the blocks; two steps go before the measured ones. `bf16` is autocast
over f32 weights, as PyTorch does it on a CPU. `--make W1` or `--make W2` writes the model folder first.

    pip install torch transformers peft safetensors
    benches/peft_step.py MODEL [--make W1|W2|1B] [--seq 128 --batch 8 --rank 8 --dtype f32|bf16 --steps 7 --threads N]
"""
import argparse
import json
import os
import resource
import statistics
import time

# Shapes with random weights: 32M and 246M parameters, and that of Llama 3.2 1B.
SHAPES = {
    "W1": dict(hidden_size=512, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=4,
               intermediate_size=1408, vocab_size=8192),
    "W2": dict(hidden_size=1024, num_hidden_layers=16, num_attention_heads=16, num_key_value_heads=4,
               intermediate_size=2816, vocab_size=32000),
    "1B": dict(hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
               intermediate_size=8192, vocab_size=128256, head_dim=64, tie_word_embeddings=True),
}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--make", choices=SHAPES)
parser.add_argument("--seq", type=int, default=128)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--rank", type=int, default=8)
parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
parser.add_argument("--steps", type=int, default=7)
parser.add_argument("--threads", type=int, default=os.cpu_count())
args = parser.parse_args()

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

torch.set_num_threads(args.threads)

if args.make:
    torch.manual_seed(0)
    shape = dict(max_position_embeddings=2048, rms_norm_eps=1e-5, tie_word_embeddings=False) | SHAPES[args.make]
    # The large one is written in bf16, as such models are published.
    torch.set_default_dtype(torch.bfloat16 if args.make == "1B" else torch.float32)
    LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(args.model, safe_serialization=True)
    raise SystemExit

model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32, use_cache=False)
adapter = LoraConfig(r=args.rank, lora_alpha=16, lora_dropout=0.05, task_type="CAUSAL_LM", target_modules="all-linear")
model = get_peft_model(model, adapter)
model.train()
trained = [p for p in model.parameters() if p.requires_grad]
optimiser = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.01)
random = torch.Generator().manual_seed(123)
batches = [torch.randint(0, model.config.vocab_size, (args.batch, args.seq), generator=random) for _ in range(5)]
seconds = []
for step in range(2 + args.steps):
    ids = batches[step % len(batches)]
    start = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bf16"):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    seconds.append(time.perf_counter() - start)
seconds = sorted(seconds[2:])
tokens = args.batch * args.seq
print(json.dumps({
    "impl": f"torch-peft-{args.dtype}",
    "tok_s": round(tokens / statistics.median(seconds), 1),
    "best": round(tokens / seconds[0], 1),
    "ms": round(1e3 * statistics.median(seconds), 1),
    "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    "version": torch.__version__,
}))
