"""Log-probabilities and likeliest alternatives at every token of a text, by a causal model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from icl.core.errors import EngineError, WindowError
from icl.core.types import Prompt, Token, TokenScore
from icl.engines.hf.causal.forward import CausalModel
from icl.engines.hf.seq2seq.forward import Seq2SeqModel
from icl.engines.hf.text.prompt_forms import FlatForm, Form
from icl.engines.hf.weights.memory import translate_out_of_memory

__all__ = ["score_tokens", "inspect_tokens"]


ROWS = 16
"""Positions projected at a time: 17 MB of float32 logits for 262,144 entries."""


def inspect_tokens(
    lm: CausalModel | Seq2SeqModel, form: Form, prompt: Prompt, answer: str, top: int, window: int
) -> list[TokenScore]:
    """Return the tokens of a prompt and its answer with their log-probabilities.

    This is :meth:`icl.engines.protocol.InspectableEngine.inspect`.

    Raises:
        EngineError: an encoder-decoder model, or a text without tokens.
        WindowError: longer than the window.
    """
    if isinstance(lm, Seq2SeqModel):
        raise EngineError("the tokens of an encoder-decoder model cannot be inspected")
    tokens = _tokens(form, prompt, answer)
    if not tokens:
        raise EngineError("an empty prompt has no tokens to inspect; write a template")
    if len(tokens) > window:
        raise WindowError(
            f"prompt and answer have {len(tokens)} tokens, the window is {window}; use fewer shots"
        )
    tokenizer = form.codec.tokenizer

    def decode(token_id: int) -> str:
        return str(tokenizer.decode([token_id], clean_up_tokenization_spaces=False))

    return score_tokens(lm, tokens, decode, top)


def _tokens(form: Form, prompt: Prompt, answer: str) -> list[Token]:
    """Tokenize flat text with its answer; in a chat append the answer after the turns."""
    if not answer:
        return form.tokens(prompt)
    if isinstance(form, FlatForm):
        return form.codec.tokens(form.text(prompt) + form.wording.text(answer))
    tokens = form.tokens(prompt)
    given, whole = form.joined(prompt, [answer])
    at = tokens[-1].end if tokens else 0
    for token_id in whole[len(given) :]:
        text = str(form.codec.tokenizer.decode([token_id], clean_up_tokenization_spaces=False))
        tokens.append(Token(token_id, text, at, at + len(text)))
        at += len(text)
    return tokens


@torch.inference_mode()
def score_tokens(
    lm: CausalModel, tokens: Sequence[Token], decode: Callable[[int], str], top: int
) -> list[TokenScore]:
    """Return each token with its log-probability after those before, and the likeliest there.

    One forward pass; the vocabulary projection runs on :data:`ROWS` positions at a time.

    Raises:
        OutOfMemory: the text does not fit.
    """
    made = [TokenScore(tokens[0], None, None, ())] if tokens else []
    if len(tokens) < 2:
        return made
    ids = torch.tensor([[token.id for token in tokens]], device=lm.device)  # (1, tokens)
    keep = torch.ones_like(ids[:, :-1], dtype=torch.bool)
    with translate_out_of_memory(f"a text of {len(tokens)} tokens"):
        states = lm.states(ids[:, :-1], keep)  # (tokens - 1, features)
        for start in range(0, len(states), ROWS):
            logits = lm.project(states[start : start + ROWS]).float()  # (rows, vocabulary)
            here = tokens[start + 1 : start + 1 + len(logits)]
            wanted = torch.tensor([token.id for token in here], device=logits.device)
            norms = logits.logsumexp(-1)  # (rows,)
            own = logits.gather(1, wanted[:, None])[:, 0]  # (rows,)
            ranks = (logits > own[:, None]).sum(-1) + 1
            values, found = logits.topk(min(top, logits.shape[-1]), dim=-1)
            values = values - norms[:, None]
            for row, token in enumerate(here):
                others = zip(found[row].tolist(), values[row].tolist(), strict=True)
                made.append(
                    TokenScore(
                        token,
                        float(own[row] - norms[row]),
                        int(ranks[row]),
                        tuple((decode(i), value) for i, value in others),
                    )
                )
    return made
