"""Tiny random encoder-decoder models of many families, and tokenizers like theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tests.conftest import SENTENCES

VOCABULARY = 400
MARKS = {"pad_token_id": 0, "eos_token_id": 1, "vocab_size": VOCABULARY}
T5 = MARKS | {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
    "initializer_factor": 1.0,
    "dropout_rate": 0.0,
}
BART = MARKS | {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 128,
    "init_std": 0.4,
    "bos_token_id": 2,
}
GEMMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "sliding_window": 8,
    "query_pre_attn_scalar": 8,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}

FAMILIES: dict[str, Callable[[], Any]] = {
    "t5": lambda: hf.T5Config(**T5),
    "flan_t5": lambda: hf.T5Config(
        **T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=1
    ),
    "mt5": lambda: hf.MT5Config(**T5),
    "umt5": lambda: hf.UMT5Config(**T5),
    "longt5": lambda: hf.LongT5Config(**T5, local_radius=3),
    # 46 encoder and 32 decoder layers as in AlexaTM 20B, 8 features wide instead of 4096.
    "alexatm": lambda: hf.T5Config(
        **T5 | {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2, "num_layers": 46},
        num_decoder_layers=32,
    ),
    "bart": lambda: hf.BartConfig(**BART, decoder_start_token_id=1, forced_bos_token_id=2),
    "mbart": lambda: hf.MBartConfig(**BART, decoder_start_token_id=5, scale_embedding=True),
    "marian": lambda: hf.MarianConfig(
        **BART, decoder_start_token_id=0, decoder_vocab_size=VOCABULARY, bad_words_ids=[[0]]
    ),
    "pegasus": lambda: hf.PegasusConfig(**BART, decoder_start_token_id=0),
    "m2m_100": lambda: hf.M2M100Config(**BART, decoder_start_token_id=1),
    "t5gemma": lambda: hf.T5GemmaConfig(
        encoder=dict(GEMMA), decoder=dict(GEMMA), vocab_size=VOCABULARY
    ),
}
# Experts take a limited number of a batch's tokens, so that texts are not independent of it.
UNCACHED: dict[str, Callable[[], Any]] = {
    "switch": lambda: hf.SwitchTransformersConfig(
        **T5, num_experts=2, num_sparse_encoder_layers=1, num_decoder_layers=2
    )
}


def model_of(family: str, vocabulary: int = VOCABULARY) -> Any:
    """A random float32 model of a family, its logits well apart."""
    config = (FAMILIES | UNCACHED)[family]()
    for part in (config, getattr(config, "encoder", None), getattr(config, "decoder", None)):
        for name in ("vocab_size", "decoder_vocab_size"):
            if getattr(part, name, None) is not None:
                setattr(part, name, vocabulary)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = hf.AutoModelForSeq2SeqLM.from_config(config)
        if hasattr(model, "final_logits_bias"):  # zero in a fresh model, and so never tried
            model.final_logits_bias.normal_()
    return model.eval()


def untied(model: Any) -> Any:
    """The model with another vocabulary projection: a random tied one repeats its last token."""
    head = model.get_output_embeddings()
    with torch.random.fork_rng():
        torch.manual_seed(2)
        head.weight = torch.nn.Parameter(torch.randn_like(head.weight), requires_grad=False)
    return model


def _trained(special: list[str]) -> list[tuple[str, float]]:
    """Pieces of a unigram model with their scores, special tokens first."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY - 60,
        special_tokens=special,
        unk_token="<unk>",
        initial_alphabet=[chr(c) for c in range(33, 127)],
        show_progress=False,
    )
    made.train_from_iterator(SENTENCES * 4, trainer)
    pieces: dict[str, int] = made.get_vocab()
    order = sorted(pieces, key=lambda piece: pieces[piece])
    return [(piece, 0.0 if piece in special else -3.0 - len(order) / 100) for piece in order]


def t5_tokenizer() -> Any:
    """Drops line breaks and puts ``</s>`` behind a text, as T5's."""
    vocab = _trained(["<pad>", "</s>", "<unk>"])
    return hf.T5Tokenizer(vocab=vocab, extra_ids=0, additional_special_tokens=["<extra_id_0>"])


def bart_tokenizer() -> Any:
    """Byte-level, ``<s> … </s>`` around a text, as BART's."""
    return _byte_level(["<pad>", "</s>", "<s>"], "<s> $A </s>", {"bos_token": "<s>"})


def gemma_tokenizer() -> Any:
    """Byte-level, ``<bos>`` before a text and nothing behind it, as T5Gemma's."""
    return _byte_level(["<pad>", "</s>", "<bos>"], "<bos> $A", {"bos_token": "<bos>"})


def _byte_level(special: list[str], frame: str, names: dict[str, str]) -> Any:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    marks = [(name, i) for i, name in enumerate(special) if name in frame]
    bpe.post_processor = processors.TemplateProcessing(single=frame, special_tokens=marks)
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", eos_token="</s>", **names
    )


def mbart_tokenizer() -> Any:
    """``… </s> en_XX``: the language stands behind the text, as mBART's."""
    vocab = _trained(["<pad>", "</s>", "<s>", "<unk>"])
    return hf.MBartTokenizer(vocab=vocab, src_lang="en_XX", additional_special_tokens=[])


def nllb_tokenizer() -> Any:
    """``eng_Latn … </s>``: the language stands before the text, as NLLB's."""
    pieces = {"<pad>": 0, "</s>": 1, "<s>": 2, "<unk>": 3, "\u2581": 4}
    pieces |= {chr(c): c - 33 + 5 for c in range(33, 127)}
    return hf.NllbTokenizer(
        vocab=pieces, merges=[], extra_special_tokens=["eng_Latn", "deu_Latn", "swh_Latn"]
    )


def marian_tokenizer(folder: Path) -> Any:
    """Slow, with a model for each side, as Marian's."""
    import json
    import warnings

    import sentencepiece

    for side, lines in (("source", SENTENCES), ("target", SENTENCES[::-1] + ["alarm set alarm"])):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines * 4),
            model_prefix=str(folder / side),
            vocab_size=150,
            hard_vocab_limit=False,
            minloglevel=2,
            character_coverage=1.0,
        )
    pieces = ["<pad>", "</s>", "<unk>"]
    for side in ("source", "target"):
        made = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.model"))
        pieces += [made.id_to_piece(i) for i in range(made.get_piece_size())]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hf.MarianTokenizer(
            str(folder / "source.model"), str(folder / "target.model"), str(folder / "vocab.json")
        )


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "t5": t5_tokenizer,
    "bart": bart_tokenizer,
    "mbart": mbart_tokenizer,
    "m2m_100": nllb_tokenizer,
    "t5gemma": gemma_tokenizer,
}


def save_pair(folder: Path, family: str) -> Path:
    """Save a model of a family with a tokenizer of its kind."""
    from icl.engines.hf.weights.hashes import silence_libraries

    folder.mkdir(parents=True, exist_ok=True)
    with silence_libraries():
        tokenizer = marian_tokenizer(folder) if family == "marian" else TOKENIZERS[family]()
        model_of(family, len(tokenizer)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder
