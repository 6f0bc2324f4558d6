#!/usr/bin/env python3
"""Writes adapters as Hugging Face PEFT saves them: tests/parity/peft/{causal,reward}/.

causal   LoRA of rank 4 on q_proj and v_proj of a tiny Llama, with lm_head in modules_to_save, rsLoRA
reward   the same on a sequence classifier with one label, whose head `score` PEFT saves by itself

Made with: peft 0.21.2, transformers 5.23.0, torch 2.9.1.
Run: python tests/parity/peft_fixtures.py
"""

import shutil
from pathlib import Path

import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

OUT = Path(__file__).parent / "peft"
MODEL = LlamaConfig(
    vocab_size=24,
    hidden_size=8,
    intermediate_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    num_labels=1,
    pad_token_id=0,
    tie_word_embeddings=False,
)


def save(name: str, model: torch.nn.Module, config: LoraConfig) -> None:
    model = get_peft_model(model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    shutil.rmtree(OUT / name, ignore_errors=True)
    model.save_pretrained(OUT / name)
    (OUT / name / "README.md").unlink()


if __name__ == "__main__":
    torch.manual_seed(5)
    shared = {"r": 4, "lora_alpha": 16, "lora_dropout": 0.05, "target_modules": ["v_proj", "q_proj"]}
    causal = LoraConfig(task_type=TaskType.CAUSAL_LM, use_rslora=True, modules_to_save=["lm_head"], **shared)
    save("causal", LlamaForCausalLM(MODEL), causal)
    save("reward", LlamaForSequenceClassification(MODEL), LoraConfig(task_type=TaskType.SEQ_CLS, **shared))
