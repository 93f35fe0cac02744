"""A tiny random model of every family of transformers, from its own config made small."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icl.engines.hf.weights.hashes import silence_libraries

__all__ = ["NotBuilt", "list_families", "save_family", "shrink"]

VOCABULARY = 400
LAYERS = 4
SIZES: tuple[tuple[str, int], ...] = (
    (r"(.*_)?vocab_size(_per_layer_input)?|(entity_)?n_words|padded_vocab_size", VOCABULARY),
    (r"num_(nextn_predict|mtp|mtp_hidden|nextn)_layers|mtp_num_hidden_layers", 0),
    (r"(num_)?(hidden_|decoder_|encoder_)*layers?|n_layers?|num_blocks|depth", LAYERS),
    (r"num_kv_shared_layers|num_shared_kv_layers", 0),
    (r"(first_k_dense_replace|num_dense_layers|num_mem_blocks|n_dense_layers)", 1),
    (r".*(kv|key_value)_heads|multi_query_group_num|.*n_kv_heads", 2),
    (r".*linear_num_value_heads|.*linear_num_heads", 4),
    (r".*linear_num_key_heads", 2),
    (r"(num_|n_|.*_)?(attention_|query_)?heads?|num_attn_heads|n_head|.*_n_heads", 4),
    (r".*qk_head_dim", 16),
    (r".*rope_head_dim|rotary_dim|rotary_ndims", 8),
    (r".*head_(dim|size)|kv_channels|attention_head_dim|d_kv|index_head_dim|d_head", 16),
    (r"q_lora_rank|kv_lora_rank|.*_lora_rank|.*lora_dim|.*_rank", 16),
    (r"moe_latent_size|laurel_rank|altup_lauren_rank", 16),
    (r"hidden_size_per_layer_input", 16),
    (
        r"hidden_size|d_model|n_embd|dim|embedding_size|embed_dim|model_dim|lru_width|dim_model"
        r"|word_embed_proj_dim|decoder_hidden_size|hidden_dim|emb_dim|input_embedding_size"
        r"|attention_hidden_size|embedding_dim|output_hidden_size|projection_dim",
        64,
    ),
    (
        r".*(intermediate|ffn|inner|d_ff|dff|mlp|feed_forward).*(size|dim)?|d_inner|ffn_.*size|n_inner"
        r"|feed_forward_size|shared_expert_intermediate_size",
        64,
    ),
    (r"mamba_n_groups|n_groups|mamba_ngroups", 1),
    (r"mamba_n_heads|mamba_num_heads|n_mamba_heads", 8),
    (r"mamba_d_head|mamba_head_dim|mamba_headdim", 16),
    (r"mamba_d_ssm", 128),
    (r"mamba_d_state|ssm_state_size|state_size", 16),
    (r"mamba_chunk_size|chunk_size|.*chunk_size_linear", 16),
    (r"mamba_dt_rank|time_step_rank", 4),
    (r"(num_|n_)?(local_|routed_|.*_)?experts|moe_num_experts", 4),
    (r"(num_|n_|moe_num_)shared_experts?", 1),
    (r".*(experts_per_tok.*|top_?k|top_k_experts|moe_topk|experts_top_k|moe_k)", 2),
    (r"n_groups?|topk_group|n_group|num_expert_group", 1),
    (r"index_topk|index_n_heads", 4),
    (
        r"sliding_window|window_size|attention_window|attention_window_size|keep_window_size"
        r"|local_attention|sliding_window_size|swa_window",
        8,
    ),
    (r"attention_chunk_size", 8),
    (r"encoder_hash_byte_group_vocab", 50),
    (
        r"(max_|n_)(position_embeddings|positions|position|ctx|seq_len|source_positions"
        r"|target_positions)|seq_length|max_sequence_length|max_seq_len|context_length|n_ctx",
        256,
    ),
    (r"(max_encoder|max_decoder)_position_embeddings", 256),
    (r"original_max_position_embeddings|initial_context_length", 64),
)
"""Names of integers (the whole name), the first that fits, and their size in a tiny model."""
MARKS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
MAMBA2 = {"mamba_expand": 2, "mamba_n_heads": 8, "mamba_d_head": 16}
OVERRIDES: Mapping[str, Mapping[str, Any]] = {
    "bamba": MAMBA2,
    "granitemoehybrid": MAMBA2,
    "falcon_h1": MAMBA2 | {"mamba_d_ssm": 128},
    "mamba2": {"num_heads": 8, "head_dim": 16, "expand": 2},
    "xlnet": {"d_head": 16},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "ministral": {"head_dim": 16},
    "nemotron": {"num_key_value_heads": 2},
    "reformer": {
        "is_decoder": True,
        "axial_pos_embds_dim": (16, 48),
        "axial_pos_shape": (16, 16),
        "local_attn_chunk_length": 16,
        "lsh_attn_chunk_length": 16,
    },
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "zamba": {"attention_hidden_size": 128, "attention_head_dim": 32},
    "zamba2": {
        "attention_hidden_size": 128,
        "attention_head_dim": 32,
        "n_mamba_heads": 8,
        "mamba_headdim": 16,
    },
    "longcat_flash": {"qk_head_dim": 24},
    "deepseek_v2": {"num_experts_per_tok": 2},
}
"""Family -> what its config needs beside the rules: sizes that depend on each other."""


class NotBuilt(Exception):
    """A family of which no tiny model can be made, with the reason."""


def list_families() -> dict[str, bool]:
    """Every family that writes text from text -> whether it is an encoder-decoder."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as causal,
    )
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES as pairs,
    )

    found = {}
    for family in sorted({*causal, *pairs}):
        with contextlib.suppress(NotBuilt):
            config = _default(family)
            found[family] = bool(config.is_encoder_decoder)
    return found


def _default(family: str) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    try:
        return CONFIG_MAPPING[family]()
    except Exception as error:  # whatever it is, the sweep says it and goes on
        raise NotBuilt(f"its config cannot be made: {error}") from error


def _size(name: str) -> int | None:
    return next((size for pattern, size in SIZES if re.fullmatch(pattern, name)), None)


def shrink(family: str) -> Any:
    """Return the config of a family with small sizes; every kind of layer stays."""
    config = _default(family)
    made = _small(type(config), config, family)
    return made


def _small(kind: Any, config: Any, family: str) -> Any:
    given: dict[str, Any] = {}
    nested = {n: v for n, v in vars(config).items() if hasattr(v, "model_type")}
    for name, part in nested.items():
        given[name] = _small(type(part), part, part.model_type).to_dict()
    names = {*vars(config), *getattr(type(config), "attribute_map", {})}
    for name in sorted(names - nested.keys()):
        value = _value(config, name)
        if name in MARKS and not isinstance(value, dict):
            given[name] = MARKS[name]
        elif isinstance(value, int) and not isinstance(value, bool):
            size = _size(name)
            if size is not None and value > 0:
                given[name] = min(value, size) if name != "vocab_size" else size
        elif "initializer" in name or name == "init_std":
            continue
        elif "dropout" in name or name.endswith("pdrop"):
            given[name] = 0.0
    n_layers = next(
        (
            v
            for n in ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
            if isinstance(v := _value(config, n), int)
        ),
        None,
    )
    for name in sorted(names - nested.keys()):
        value = _value(config, name)
        if isinstance(value, list | tuple) and len(value) == n_layers and n_layers:
            given[name] = _cover(list(value))
    if "qk_rope_head_dim" in given:  # latent attention, whose heads share nothing
        given["num_key_value_heads"] = given["num_attention_heads"]
        if "head_dim" in given:
            given["head_dim"] = given["qk_rope_head_dim"]
    if config.is_encoder_decoder:
        given["decoder_start_token_id"] = MARKS["decoder_start_token_id"]  # checkpoints have one
    given |= OVERRIDES.get(family, {})
    given = {n: v for n, v in given.items() if v is not None and not n.startswith("_")}
    mapped = getattr(type(config), "attribute_map", {})
    given = {n: v for n, v in given.items() if n not in mapped}
    try:
        return kind(**given)
    except Exception as error:
        raise NotBuilt(f"its small config is refused: {type(error).__name__}: {error}") from error


def _value(config: Any, name: str) -> Any:
    """Read a field of a config; None if each layer has its own."""
    try:
        return getattr(config, name, None)
    except Exception:  # a class of transformers' own, which is not the same in every release
        return None


def _cover(values: list[Any]) -> list[Any]:
    """Four entries with every kind in them, in the order in which the kinds come."""
    kinds = list(dict.fromkeys(map(repr, values)))[:LAYERS]
    picked = [values[list(map(repr, values)).index(kind)] for kind in kinds]
    while len(picked) < LAYERS:
        picked.append(picked[len(picked) % len(kinds)])
    return picked


def save_family(family: str, folder: Path, pair: bool) -> Path:
    """Save a tiny random float32 model of a family, with a tokenizer.

    Raises:
        NotBuilt: its small config makes no model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kind = AutoModelForSeq2SeqLM if pair else AutoModelForCausalLM
    try:
        with silence_libraries(), torch.random.fork_rng():
            torch.manual_seed(0)
            config = shrink(family)
            model = kind.from_config(config, dtype=torch.float32)
            _randomize(model)
            model.save_pretrained(folder)
            _tokenizer(pair).save_pretrained(folder)
    except NotBuilt:
        raise
    except Exception as error:
        raise NotBuilt(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    return folder


def _randomize(model: Any) -> None:
    """Give weights that make logits differ: fresh ones of many families are nearly all equal."""
    import torch
    from transformers.pytorch_utils import Conv1D

    done = set()
    with torch.no_grad():
        for module in model.modules():
            weight = getattr(module, "weight", None)
            if not isinstance(weight, torch.nn.Parameter) or id(weight) in done:
                continue
            done.add(id(weight))
            if isinstance(module, torch.nn.Embedding):
                weight.normal_(0, 0.7)
            elif isinstance(module, torch.nn.Linear | Conv1D):
                fan_in = weight.shape[0] if isinstance(module, Conv1D) else weight.shape[-1]
                weight.normal_(0, 1.2 / math.sqrt(fan_in))
        for name, parameter in model.named_parameters():
            if id(parameter) in done or "A_log" in name:
                continue
            if parameter.dim() >= 3:
                parameter.normal_(0, 1.2 / math.sqrt(max(parameter.shape[1:])))
            elif parameter.dim() == 2 and "weight" in name:
                parameter.normal_(0, 0.3)
            elif parameter.dim() == 1 and "bias" in name:
                parameter.normal_(0, 0.05)


def _tokenizer(pair: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<bos>", "<eos>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS, trainer)
    frame, marks = ("$A <eos>", [("<eos>", 1)]) if pair else ("<bos> $A", [("<bos>", 0)])
    bpe.post_processor = processors.TemplateProcessing(single=frame, special_tokens=marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<bos>", eos_token="<eos>", pad_token="<eos>"
    )


TEXTS = [
    "Utterance: wake me up at nine am on friday\nIntent: alarm set",
    "Utterance: set the volume to fifty percent\nIntent: volume up",
    "Utterance: what is the weather in Nairobi today\nIntent: weather query",
    "nionyeshe matukio ya leo katika kalenda yangu",
    "मुझे शुक्रवार को सुबह नौ बजे जगाना",
]
