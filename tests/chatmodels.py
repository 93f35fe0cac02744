"""Chat templates of the kinds in use, and tiny models that speak them, for tests.

The templates are written for these tests after the forms of ChatML (SmolLM2), Llama 3, Gemma,
Mistral, Qwen3 and DeepSeek-R1; a model here is a table of which token follows which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHATML = """{% for m in messages %}{% if loop.first and m.role != 'system' %}
<|im_start|>system
Be brief.<|im_end|>
{% endif %}
{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

LLAMA3 = """{{ bos_token }}{% if not date_string is defined %}{% set date_string = strftime_now("%d %b %Y") %}{% endif %}
{% if messages[0].role == 'system' %}{% set said = messages[0].content | trim %}{% set messages = messages[1:] %}
{% else %}{% set said = '' %}{% endif %}
{{ '<|start|>system<|header|>\n\nToday: ' + date_string + '\n\n' + said + '<|eot|>' }}
{%- for m in messages %}{{ '<|start|>' + m.role + '<|header|>\n\n' + m.content | trim + '<|eot|>' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant<|header|>\n\n' }}{% endif %}"""  # noqa: E501

GEMMA = """{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{% for m in messages %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}
{%- set role = 'model' if m.role == 'assistant' else m.role %}
{{- '<start_of_turn>' + role + '\n' + m.content | trim + '<end_of_turn>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""  # noqa: E501

MISTRAL = """{{ bos_token }}{% for m in messages %}
{%- if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}
{%- elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}
{%- else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"""  # noqa: E501

QWEN3 = """{%- set ns = namespace(last=0) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}{% set content = m.content %}
{%- if m.role == 'assistant' %}{% set content = content.split('</think>')[-1].lstrip('\n') %}
{%- if loop.index0 > ns.last %}{% set content = '<think>\n\n</think>\n\n' + content %}{% endif %}{% endif %}
{{- '<|im_start|>' + m.role + '\n' + content + '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"""  # noqa: E501

R1 = """{{ bos_token }}{% for m in messages %}
{%- if m.role == 'system' %}{{ m.content }}
{%- elif m.role == 'user' %}{{ '<|User|>' + m.content }}
{%- else %}{{ '<|Assistant|>' + m.content.split('</think>')[-1] + eos_token }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|Assistant|><think>\n' }}{% endif %}"""  # noqa: E501

TEMPLATES = {
    "chatml": CHATML,
    "llama3": LLAMA3,
    "gemma": GEMMA,
    "mistral": MISTRAL,
    "qwen3": QWEN3,
    "r1": R1,
}
SPECIAL = [
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|start|>",
    "<|header|>",
    "<|eot|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|User|>",
    "<|Assistant|>",
]
TURN_END = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot|>",
    "gemma": "<end_of_turn>",
    "mistral": "</s>",
    "qwen3": "<|im_end|>",
    "r1": "</s>",
}
"""What ends an answer, by template."""


def chat_tokenizer(template: str | None, bos: bool = False, merges: bool = False) -> Any:
    """Bytes as tokens, or a few merges, and control tokens; <think> is added but not special."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [("a", "l"), ("s", "e"), ("se", "t"), ("Ċ", "Ċ"), ("Ġ", "a"), ("|", ">")]
    vocab = {letter: i for i, letter in enumerate(letters)}
    for pair in pairs if merges else []:
        vocab["".join(pair)] = len(vocab)
    made = Tokenizer(models.BPE(vocab=vocab, merges=pairs if merges else []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIAL])
    made.add_tokens([AddedToken(name, normalized=False) for name in ("<think>", "</think>", "  ")])
    if bos:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", model_max_length=512
    )
    tokenizer.chat_template = template
    return tokenizer


def save_chat_model(
    folder: Path, template: str | None, follows: Mapping[str, str] | None = None, **options: Any
) -> Path:
    """A model in which ``follows`` says which token comes after which; else a random one."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from icl.engines.hf.weights.hashes import silence_libraries

    ends = options.pop("ends", None)
    tokenizer = chat_tokenizer(template, **options)
    size = len(tokenizer) + -len(tokenizer) % 4
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size if follows else 32,
        intermediate_size=32,
        num_hidden_layers=1 if follows else 2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    if follows:
        _bigram(model, {_id(tokenizer, a): _id(tokenizer, b) for a, b in follows.items()})
    with silence_libraries():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    if ends is not None:
        ids = [tokenizer.convert_tokens_to_ids(name) for name in ends]
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ids}))
    return folder


def _id(tokenizer: Any, text: str) -> int:
    (token,) = tokenizer(text, add_special_tokens=False)["input_ids"]
    return int(token)


def _bigram(model: Any, follows: Mapping[int, int]) -> None:
    """Attention and feed-forward give nothing; the head reads the one-hot embedding."""
    import torch

    size = model.config.vocab_size
    with torch.no_grad():
        for weight in model.model.layers.parameters():
            weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.lm_head.weight.zero_()
        for before, after in follows.items():
            model.lm_head.weight[after, before] = 1.0
