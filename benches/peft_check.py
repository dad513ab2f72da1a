#!/usr/bin/env python3
"""Does Hugging Face PEFT make of a run's `best/` the same model as `tune` does?

    pip install torch transformers peft
    tune run CONFIG --out RUN --set model.path=MODEL --set model.dtype=f32 --set data.valid=rows.jsonl
    python benches/peft_check.py MODEL RUN

MODEL is a Hugging Face folder of the Llama family. The run has to have validated on a file of chats
(the split of a fraction is tune's own) and in f32. Two evaluations of its log are computed again with
transformers and peft, row by row: step 0 with the bare base, and the best one with the adapter. No
row's loss may differ by more than one part in ten thousand, and the adapter that PEFT holds after
loading must have every tensor of the file, bit for bit.
"""

import argparse
import json
import sys
import tomllib
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

TOLERANCE = 1e-4


def example(tokenizer, messages, data):
    """Ids of a chat, and which of them carry loss: the assistant's turns with what ends them."""
    def render(messages, generate):
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)

    text, turns = render(messages, False), []
    for i, message in enumerate(messages):
        if message["role"] == "assistant":
            turns.append(range(len(render(messages[:i], True)), len(render(messages[: i + 1], False))))
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    mask = []
    for start, end in encoding["offset_mapping"]:
        token = text[start:end]
        start += len(token) - len(token.lstrip()) if token.strip() else 0
        mask.append(not data["mask_prompt"] or any(start in turn for turn in turns))
    mask[0] = False  # nothing comes before the first token
    length = data["max_length"]
    return torch.tensor(encoding["input_ids"][:length]), torch.tensor(mask[:length])


@torch.no_grad()
def compare(model, examples, logged):
    """The largest relative difference of any row's loss; tokens must agree exactly."""
    worst = 0.0
    for row, ((ids, mask), ours) in enumerate(zip(examples, logged["examples"], strict=True)):
        logits = model(input_ids=ids[None]).logits[0, :-1].double()
        nats = F.cross_entropy(logits, ids[1:], reduction="none")[mask[1:]].sum().item()
        tokens = int(mask.sum())
        if tokens != ours["tokens"]:
            sys.exit(f"row {row + 1}: {tokens} tokens carry loss here, {ours['tokens']} in the run")
        worst = max(worst, abs(nats - ours["nats"]) / nats)
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("run", type=Path)
    args = parser.parse_args()

    config = tomllib.loads((args.run / "config.toml").read_text())
    if not isinstance(config["data"]["valid"], str) or config["model"]["dtype"] != "f32":
        sys.exit("the run must have data.valid = a file, and model.dtype = \"f32\"")
    events = [json.loads(line)["event"] for line in (args.run / "run.jsonl").read_text().splitlines()]
    evals = [e for e in events if e["kind"] == "eval" and e["split"] == "valid"]
    best = min(evals, key=lambda e: e["loss"])
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    rows = [json.loads(line) for line in Path(config["data"]["valid"]).read_text().splitlines() if line]
    examples = [example(tokenizer, row["messages"], config["data"]) for row in rows]

    base = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    bare = compare(base, examples, evals[0])
    model = PeftModel.from_pretrained(base, args.run / "best").eval()
    file = load_file(args.run / "best/adapter_model.safetensors")
    held = get_peft_model_state_dict(model)
    same = file.keys() == held.keys() and all(torch.equal(file[k], held[k].float()) for k in file)
    adapted = compare(model, examples, best)

    print(f"{len(rows)} rows, {sum(int(mask.sum()) for _, mask in examples)} tokens that carry loss")
    print(f"adapter: {len(file)} tensors in the file, {'all' if same else 'NOT all'} held by PEFT as they are")
    print(f"base, step 0 (loss {evals[0]['loss']:.4f}): largest relative difference {bare:.1e}")
    print(f"best, step {best['step']} (loss {best['loss']:.4f}): largest relative difference {adapted:.1e}")
    if best["step"] == 0:
        sys.exit("the best evaluation is of the untouched base: the adapter was not put to the test")
    if not same or max(bare, adapted) > TOLERANCE:
        sys.exit(f"NOT the same model (at most {TOLERANCE:g} was allowed)")


if __name__ == "__main__":
    main()
