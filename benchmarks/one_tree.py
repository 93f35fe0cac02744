"""Generation by growing one packed tree: a single sequence, whose mask keeps its rows apart.

No prefix is copied, and each row's new token looks, masked, at the keys of all rows. Written to
compare with rows in slots of one buffer, which the engine uses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.continuous import line_ends
from icl.core.errors import IclError
from icl.core.types import Prompt
from icl.engines.hf.causal.forward import CausalModel, widen_cache
from icl.engines.hf.causal.score import find_common_prefix
from icl.engines.hf.engine import HFEngine

__all__ = ["grown"]


def grown(engine: HFEngine, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
    """Greedy texts up to the end of the line.

    Raises:
        IclError: the model does not take the mask of a tree.
    """
    lm, codec = engine.lm, engine.codec
    if not isinstance(lm, CausalModel) or lm.masks is None:
        raise IclError(f"{engine.source} does not take the mask of a tree; name another model")
    ids = codec.encode([prompt.text for prompt in prompts])
    ends = set(line_ends(codec.tokenizer))
    n_shared = min(find_common_prefix(ids), *(len(row) - 1 for row in ids))
    cache = widen_cache(lm.prefix_cache(ids[0][:n_shared]), 1)
    owners = np.full(n_shared, -1)  # (keys,): -1 is the prefix, which all rows see
    places = np.arange(n_shared)  # (keys,)
    new = [list(row[n_shared:]) for row in ids]
    made: list[list[int]] = [[] for _ in ids]
    active = list(range(len(ids)))
    while active:
        rows = np.array([row for row in active for _ in new[row]])  # (nodes,)
        at = np.array(
            [
                len(ids[row]) + len(made[row]) - len(new[row]) + i
                for row in active
                for i in range(len(new[row]))
            ]
        )
        owners, places = np.append(owners, rows), np.append(places, at)
        sees = (owners == rows[:, None]) | (owners == -1)  # (nodes, keys)
        sees &= places <= at[:, None]
        keep = [i + 1 == len(new[row]) for row in active for i in range(len(new[row]))]
        states = lm.states(
            torch.tensor([[token for row in active for token in new[row]]], device=lm.device),
            torch.tensor([keep], device=lm.device),
            cache,
            lm.tree_mask(sees[None], at[None], places[None]),
            torch.from_numpy(at)[None].to(lm.device),
        )
        for row, token in zip(active, lm.argmax(states), strict=True):
            made[row].append(token)
            new[row] = [token]
        active = [r for r in active if len(made[r]) < max_tokens and made[r][-1] not in ends]
    return [codec.decode(tokens).split("\n")[0] for tokens in made]
