"""The scoring of a batch as one radix tree of tokens: every token is forwarded once.

Few-shot prompts share almost everything: instruction and fixed shots are one prefix, each query is
a branch, the choices under it a small trie. A node of the tree needs one forward position, a leaf
none, and the vocabulary projection is needed only where a scored token follows. Branches are packed
into one sequence with an ancestor mask and explicit positions (tree attention, as in SpecInfer,
Miao et al. 2024, arXiv 2305.09781), behind a cached prefix.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache

from icl.core.errors import OutOfMemory
from icl.engines.hf.causal.attention_masks import Masks, clone, list_candidates
from icl.engines.hf.causal.forward import SHARED_TOKENS, CausalModel, widen_cache
from icl.engines.hf.causal.score import ChoicePlan, Ids, find_common_prefix, score_whole
from icl.engines.hf.weights.memory import REFUSALS, is_out_of_memory, translate_out_of_memory

__all__ = ["Tree", "TreeScorer", "find_ancestors", "find_masks"]


logger = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""Nats by which two right computations may differ in float32; a missing window gives over 0.1."""
PACK_TOKENS = 384
"""Positions in a pack of several branches: enough for efficient products, few enough that
attention between branches, which is computed and masked, takes little time."""
ALONE_TOKENS = 2048
"""A larger branch is split: its unbranched beginning becomes a cached prefix."""


@dataclass
class Tree:
    """All token sequences of a batch after their common prefix; node 0 is that prefix's end."""

    prefix: Ids
    tokens: list[int] = field(default_factory=lambda: [-1])
    parents: list[int] = field(default_factory=lambda: [-1])
    depths: list[int] = field(default_factory=list)
    """Position of each node's token in its sequence."""
    children: list[dict[int, int]] = field(default_factory=lambda: [{}])
    wanted: dict[int, dict[int, float]] = field(default_factory=dict)
    """Node -> next token -> its log-probability, NaN until computed."""
    paths: list[list[list[tuple[int, int]]]] = field(default_factory=list)
    """Plan, choice -> the (node, next token) pairs whose log-probabilities are summed."""
    sizes: list[int] = field(default_factory=list)
    """Number of nodes in the subtree of each node, including itself."""

    @classmethod
    def of(cls, plans: Sequence[ChoicePlan]) -> Tree:
        """Build the tree of a batch.

        The last token of every prompt prefix is a node, since its state is needed.
        """
        shared = 0
        if len(plans) > 1:
            limit = min(len(plan.prefix) for plan in plans) - 1
            shared = min(limit, find_common_prefix([plan.prefix for plan in plans]))
        tree = cls(plans[0].prefix[: shared if shared >= SHARED_TOKENS else 0])
        tree.depths.append(len(tree.prefix) - 1)
        for plan in plans:
            end = 0
            for token in plan.prefix[len(tree.prefix) :]:
                end = tree._child(end, token)
            tree.paths.append([tree._suffix(end, suffix) for suffix in plan.suffixes])
        tree.sizes = [1] * len(tree.tokens)
        for node in range(len(tree.tokens) - 1, 0, -1):
            tree.sizes[tree.parents[node]] += tree.sizes[node]
        return tree

    def _child(self, node: int, token: int) -> int:
        if token not in self.children[node]:
            self.children[node][token] = len(self.tokens)
            self.tokens.append(token)
            self.parents.append(node)
            self.depths.append(self.depths[node] + 1)
            self.children.append({})
        return self.children[node][token]

    def _suffix(self, node: int, suffix: Ids) -> list[tuple[int, int]]:
        path = []
        for place, token in enumerate(suffix):
            self.wanted.setdefault(node, {})[token] = math.nan
            path.append((node, token))
            if place + 1 < len(suffix):
                node = self._child(node, token)
        return path

    @property
    def unique_tokens(self) -> int:
        """The least number of positions to forward: those that some log-probability depends on."""
        return len(self.prefix) + len(self.tokens) - 1

    def below(self, node: int) -> Iterator[int]:
        """Yield a node and all below it, depth first."""
        todo = [node]
        while todo:
            found = todo.pop()
            yield found
            todo.extend(reversed(self.children[found].values()))

    def sums(self, plan: int) -> list[float] | None:
        """Return float32 log-likelihoods of a plan's choices, or None while some are unknown."""
        totals = []
        for path in self.paths[plan]:
            total = math.fsum(self.wanted[node][token] for node, token in path)
            if math.isnan(total):
                return None
            totals.append(float(np.float32(total)))
        return totals


def find_ancestors(parents: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Return which nodes each node sees, itself and those above it: bool, (nodes, nodes).

    ``parents`` holds places in the pack, every parent before its children; -1 is the cache's end.

    >>> find_ancestors([-1, 0, 0]).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    """
    sees = np.eye(len(parents), dtype=np.bool_)  # (nodes, nodes)
    for node, parent in enumerate(parents):
        if parent >= 0:
            sees[node] |= sees[parent]
    return sees


@dataclass
class TreeScorer:
    """Forwards a tree in packs, deepest shared prefix first; keeps one prefix between batches."""

    lm: CausalModel
    pack_tokens: int = PACK_TOKENS
    alone_tokens: int = ALONE_TOKENS
    unique_tokens: int = 0
    """Sum of :attr:`Tree.unique_tokens` over the batches so far, for reports."""

    def score(self, plans: Sequence[ChoicePlan]) -> Iterator[tuple[int, list[float]]]:
        """Yield (plan, sums of its choices) as they become known.

        A batch gives the same bytes whether or not its prefix was kept from the batch before: the
        prefix is forwarded by itself either way.

        Raises:
            OutOfMemory: even a single branch does not fit.
        """
        if not plans:
            return
        tree = Tree.of(plans)
        self.unique_tokens += tree.unique_tokens
        waiting = list(range(len(plans)))
        for _ in self._below(tree, 0, self.lm.prefix_cache(tree.prefix)):
            ready = [(plan, sums) for plan in waiting if (sums := tree.sums(plan)) is not None]
            yield from ready
            waiting = [plan for plan in waiting if plan not in {done for done, _ in ready}]

    def _below(self, tree: Tree, node: int, cache: DynamicCache) -> Iterator[None]:
        """Forward everything under a node whose token is in the cache; yield after each pack."""
        pack: list[int] = []
        used = 0
        for branch in tree.children[node].values():
            size = tree.sizes[branch]
            if pack and used + size > self.pack_tokens:
                yield from self._pack(tree, pack, cache)
                pack, used = [], 0
            if size > self.alone_tokens:
                yield from self._chain(tree, branch, cache)
                continue
            pack.append(branch)
            used += size
        if pack:
            yield from self._pack(tree, pack, cache)

    def _pack(self, tree: Tree, branches: Sequence[int], cache: DynamicCache) -> Iterator[None]:
        nodes = [node for branch in branches for node in tree.below(branch)]
        try:
            self._forward(tree, nodes, widen_cache(cache, 1))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(branches) > 1:
                middle = len(branches) // 2
                yield from self._pack(tree, branches[:middle], cache)
                yield from self._pack(tree, branches[middle:], cache)
            elif tree.sizes[branches[0]] > 1:
                yield from self._chain(tree, branches[0], cache)
            else:
                raise OutOfMemory(
                    f"out of memory on one token after {tree.depths[branches[0]]}; use shorter "
                    "prompts or a smaller model"
                ) from error
        else:
            yield

    def _chain(self, tree: Tree, node: int, cache: DynamicCache) -> Iterator[None]:
        """Forward an unbranched beginning of at most ``alone_tokens``, then everything below it."""
        nodes = [node]
        while len(tree.children[nodes[-1]]) == 1 and len(nodes) < self.alone_tokens:
            nodes.extend(tree.children[nodes[-1]].values())
        longer = widen_cache(cache, 1)
        with translate_out_of_memory(f"a prompt of {tree.depths[nodes[-1]] + 1} tokens"):
            self._forward(tree, nodes, longer)
        yield
        yield from self._below(tree, nodes[-1], longer)

    def _forward(self, tree: Tree, nodes: Sequence[int], cache: DynamicCache) -> None:
        """Forward nodes as one sequence after the cache; fill in their wanted log-probabilities."""
        lm = self.lm
        place = {node: i for i, node in enumerate(nodes)}
        positions = np.array([tree.depths[node] for node in nodes])  # (nodes,)
        sees = find_ancestors([place.get(tree.parents[node], -1) for node in nodes])
        cached = int(positions[0])
        before = np.ones((len(nodes), cached), dtype=np.bool_)
        mask = np.concatenate([before, sees], axis=1)  # (nodes, cached + nodes)
        of_keys = np.concatenate([np.arange(cached), positions])
        keep = torch.tensor([[node in tree.wanted for node in nodes]], device=lm.device)
        states = lm.states(
            torch.tensor([[tree.tokens[node] for node in nodes]], device=lm.device),
            keep,
            cache,
            lm.tree_mask(mask[None], positions[None], of_keys[None]),
            torch.from_numpy(positions)[None].to(lm.device),
        )
        asked = [node for node in nodes if node in tree.wanted]
        pairs = [(row, token) for row, node in enumerate(asked) for token in tree.wanted[node]]
        for (row, token), value in zip(pairs, lm.logprobs(states, pairs), strict=True):
            tree.wanted[asked[row]][token] = value


TRIED = [
    ChoicePlan((1, *range(3, 23), 31, 32), ((40, 41, 42), (40, 41), (43,)), 0, 23),
    ChoicePlan((1, *range(3, 23), 33), ((40, 41, 44), (50,), (51, 52, 53, 54)), 0, 22),
    ChoicePlan((1, *range(3, 23), 33, 34, 35, 36), ((40,), (41,)), 0, 25),
]
"""Branches of several lengths after a shared prefix that is longer than a clone's window."""


def find_masks(model: Any) -> Masks | None:
    """Find the form in which the model takes ancestor masks; None if no form works.

    Tested on a random float32 clone of the config, see
    :func:`icl.engines.hf.causal.attention_masks.clone`.
    """
    config = model.config.get_text_config()
    same = clone(model)
    if same is None:
        return None
    try:
        lm = CausalModel(same).inspect(is_clone=True)
    except REFUSALS as error:
        logger.info("%s: its clone cannot be tried: %s", type(model).__name__, error)
        return None
    if not lm.cached:
        return None
    plain = [[score_whole(lm, p.prefix + s, len(s)) for s in p.suffixes] for p in TRIED]
    for tried, real in zip(list_candidates(same.config), list_candidates(config), strict=True):
        lm.masks = tried
        try:
            found = dict(TreeScorer(lm, pack_tokens=12).score(TRIED))
        except REFUSALS as error:
            logger.info("%s refuses a tree mask: %s", type(model).__name__, error)
            continue
        apart = [
            abs(a - b)
            for place, sums in enumerate(plain)
            for a, b in zip(sums, found[place], strict=True)
        ]
        if max(apart) < TOLERANCE:
            return real
    return None
