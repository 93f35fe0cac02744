"""Bundles of features: flat and in layers, and told apart from words."""

from __future__ import annotations

import pytest

from icl.core.features import (
    count_shared_ending,
    looks_like_features,
    measure_overlap,
    read_features,
)


@pytest.mark.parametrize(
    ("bundle", "features"),
    [
        ("V;PST", {"V", "PST"}),
        ("V;PRS;NOM(3,SG)", {"V", "PRS", "NOM", "NOM(3", "NOM(SG"}),
        ("N;ACC(PL;PSS(1,PL))", {"N", "ACC", "ACC(PL", "ACC(PSS", "ACC(PSS(1", "ACC(PSS(PL"}),
        ("V.PTCP;FORM+POL", {"V.PTCP", "FORM+POL"}),
        (" N ; PL ;", {"N", "PL"}),
        ("N;DAT(SG", {"N", "DAT", "DAT(SG"}),
        ("N)", {"N"}),
        ("", set()),
    ],
)
def test_a_bundle_is_read(bundle: str, features: set[str]) -> None:
    assert read_features(bundle) == features


@pytest.mark.parametrize("cell", ["V;PST", "N;ACC(PL;PSS(1,PL))", "V.PTCP", "ADJ;FORM+POL", "N"])
def test_a_bundle_is_told_from_a_word(cell: str) -> None:
    assert looks_like_features(cell)


@pytest.mark.parametrize("cell", ["", "sang", "NATO", "V;pst", "VOLVO;N", "n;pl", "Nein"])
def test_a_word_is_no_bundle(cell: str) -> None:
    assert not looks_like_features(cell)


def test_likeness() -> None:
    past, present = read_features("V;PST"), read_features("V;PRS")
    assert measure_overlap(past, past) == 1
    assert measure_overlap(past, present) == pytest.approx(1 / 3)
    assert measure_overlap(past, read_features("N;PL")) == 0
    assert count_shared_ending("ring", "sing") == 3
    assert count_shared_ending("a", "") == 0
