"""Feature bundles of inflected forms, as UniMorph writes them, and how alike two of them are.

Both orders of the schema are read: flat as ``V;3;SG;PRS`` (Sylak-Glassman 2016,
https://unimorph.github.io/doc/unimorph-schema.pdf) and in layers as ``V;PRS;NOM(3,SG)`` (Batsuren
et al. 2022, https://aclanthology.org/2022.lrec-1.89).
"""

from __future__ import annotations

import re

__all__ = ["count_shared_ending", "looks_like_features", "measure_overlap", "read_features"]


_PARTS_OF_SPEECH = "ADJ|ADP|ADV|ART|AUX|CLF|COMP|CONJ|DET|INTJ|N|NUM|PART|PRO|PROPN|V"
"""The first dimension of the schema, which every bundle begins with."""
_WORD = re.compile(r"([^();,]*)([();,]|\Z)")
_BUNDLE = re.compile(rf"(?:{_PARTS_OF_SPEECH})(?:[;.(][A-Z0-9.+/{{}}_();,-]*)?")


def read_features(bundle: str) -> frozenset[str]:
    """Read the single features of a bundle; those of a layer keep the layer's name before them.

    >>> sorted(read_features("V;PRS;NOM(3,SG)"))
    ['NOM', 'NOM(3', 'NOM(SG', 'PRS', 'V']
    """
    found: set[str] = set()
    layers: list[str] = []
    for word, mark in _WORD.findall(bundle):
        if word.strip():
            found.add("".join([*layers, word.strip()]))
        if mark == "(":
            layers.append(word.strip() + "(")
        elif mark == ")" and layers:
            layers.pop()
    return frozenset(found)


def measure_overlap(first: frozenset[str], second: frozenset[str]) -> float:
    """Measure how much two sets of features share, from 0 to 1: Jaccard's coefficient.

    >>> measure_overlap(frozenset("ab"), frozenset("bc"))
    0.3333333333333333
    """
    both = len(first | second)
    return len(first & second) / both if both else 1.0


def count_shared_ending(first: str, second: str) -> int:
    """Count the characters at the end of two words that are the same.

    >>> count_shared_ending("singen", "klingen")
    5
    """
    count = 0
    for a, b in zip(reversed(first), reversed(second), strict=False):
        if a != b:
            break
        count += 1
    return count


def looks_like_features(cell: str) -> bool:
    """Return whether a text is a bundle of features: a part of speech, then features in capitals.

    >>> looks_like_features("V;PRS;NOM(3,SG)"), looks_like_features("sings")
    (True, False)
    """
    return _BUNDLE.fullmatch(cell.strip()) is not None
