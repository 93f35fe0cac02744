"""A line of explanation for each way to choose shots, as a reader meets it."""

from __future__ import annotations

import inspect

from icl.core.registry import lookup, names

__all__ = ["explain_selector"]


WORDS = {
    "balanced": "one shot of each label in turn, drawn at random with the seed",
    "balanced_knn": "the pool's most similar row of each label, then the second of each",
    "bm25": "the rows that share most of the query's rarer words, best first",
    "dense": "the rows nearest in meaning, by a model's vectors; it loads that model",
    "fixed": "the shots of a file, in its order",
    "mmr": "similar to the query, and unlike the shots chosen before",
    "random": "drawn at random with the seed, for each row anew",
    "rbm25": "of the best rows by shared words, those that cover most of the query",
}


def explain_selector(name: str) -> str:
    """Say in a line how a selector chooses shots; a plug-in's own first line explains it.

    >>> explain_selector("bm25")
    "the rows that share most of the query's rarer words, best first"
    """
    if name in WORDS:
        return WORDS[name]
    if name not in names("selector"):
        return "no selector has this name"
    return (inspect.getdoc(lookup("selector", name)) or name).splitlines()[0]
