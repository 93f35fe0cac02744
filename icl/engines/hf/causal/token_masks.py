"""Token ids that a :class:`icl.engines.protocol.TokenMask` allows next."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from icl.core.errors import EngineError

__all__ = ["allowed_ids"]


def allowed_ids(given: Any, logits: Tensor, name: str, n_tokens: int) -> Tensor:  # (allowed,)
    """Return the token ids that may come next, in rising order, on the device of the logits.

    Args:
        given: truth values over the vocabulary, perhaps without its unused end, or token ids.
        logits: one row, (vocabulary,); tokens that the model rules out itself have -inf.
        name: of the prompt, for messages.
        n_tokens: tokens of the answer so far, for messages.

    Raises:
        EngineError: neither of the two forms, an id outside the vocabulary, or nothing is left.
    """
    entries, size = torch.as_tensor(given), len(logits)
    if not len(entries.flatten()):
        entries = torch.empty(0, dtype=torch.long)  # an empty list of numpy is one of floats
    whole = entries.dtype == torch.bool
    if entries.ndim != 1 or entries.is_floating_point() or (whole and len(entries) > size):
        raise EngineError(
            f"prompt {name}: its mask has the shape {tuple(entries.shape)} and holds "
            f"{entries.dtype}; accepted: bool, at most ({size},), or token ids"
        )
    ids = entries.nonzero().flatten() if whole else torch.unique(entries.long())
    if len(ids) and not 0 <= int(ids[0]) <= int(ids[-1]) < size:
        wrong = int(ids[0]) if int(ids[0]) < 0 else int(ids[-1])
        raise EngineError(
            f"prompt {name}: its mask names the token {wrong}; accepted: 0 to {size - 1}"
        )
    ids = ids.to(logits.device)
    ids = ids[logits[ids] > -torch.inf]
    if not len(ids):
        raise EngineError(
            f"prompt {name}: its mask allows no token behind {n_tokens} tokens of the answer; "
            "allow at least one, such as the end of the text, or return None for any"
        )
    return ids
