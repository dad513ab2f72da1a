#!/usr/bin/env python3
"""A whole fine-tune as one writes it with transformers and PEFT; prints one JSON line. See whole_job.py."""
import argparse
import json
import os

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("train")
parser.add_argument("valid")
parser.add_argument("out")
for name, kind in [("epochs", float), ("batch", int), ("rate", float), ("rank", int), ("alpha", float)]:
    parser.add_argument(f"--{name}", type=kind, required=True)
parser.add_argument("--threads", type=int, default=os.cpu_count())
args = parser.parse_args()

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

torch.set_num_threads(args.threads)
tokenizer = AutoTokenizer.from_pretrained(args.model)


def encode(line):
    """Ids of a conversation, with loss on its last turn."""
    messages = json.loads(line)["messages"]
    ids = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
    whole = ids(tokenizer.apply_chat_template(messages, tokenize=False))[:512]
    prompt = ids(tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True))
    return {"input_ids": whole, "labels": [-100] * len(prompt) + whole[len(prompt):]}


def collate(rows):
    longest = max(len(row["input_ids"]) for row in rows)
    pad = lambda values, filler: values + [filler] * (longest - len(values))
    return {
        "input_ids": torch.tensor([pad(row["input_ids"], 0) for row in rows]),
        "labels": torch.tensor([pad(row["labels"], -100) for row in rows]),
        "attention_mask": torch.tensor([pad([1] * len(row["input_ids"]), 0) for row in rows]),
    }


train, valid = ([encode(line) for line in open(path)] for path in (args.train, args.valid))
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
adapter = LoraConfig(r=args.rank, lora_alpha=args.alpha, task_type="CAUSAL_LM", target_modules="all-linear")
trainer = Trainer(
    get_peft_model(model, adapter),
    TrainingArguments(
        args.out, num_train_epochs=args.epochs, per_device_train_batch_size=args.batch,
        per_device_eval_batch_size=args.batch, learning_rate=args.rate, lr_scheduler_type="constant",
        weight_decay=0.01, eval_strategy="epoch", save_strategy="epoch", save_total_limit=2,
        load_best_model_at_end=True, report_to="none", use_cpu=True, disable_tqdm=True,
        remove_unused_columns=False,
    ),
    train_dataset=train, eval_dataset=valid, data_collator=collate,
)
trainer.train()
trainer.model.save_pretrained(os.path.join(args.out, "best"))
print(json.dumps({"best": min(entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry)}))
