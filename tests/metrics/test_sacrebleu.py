"""chrF++ and BLEU are sacreBLEU's, through its functions and its command line."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import sacrebleu

from icl.core.stats import interval, score
from icl.core.types import Example, Prediction
from icl.metrics.bleu import BLEU
from icl.metrics.chrf import ChrF

FLORES = Path(__file__).parents[2].parent / "shared" / "data" / "flores200" / "devtest"
needs_flores = pytest.mark.skipif(
    not FLORES.is_dir(), reason="FLORES-200 is not beside the project"
)
LINES = 60


def flores(language):
    path = FLORES / f"{language}.devtest"
    return path.read_text("utf-8").split("\n")[:LINES]


def shuffled(lines):
    mixed = []
    for index, line in enumerate(lines):
        words = line.split()
        # A third is right, a third in disorder, a third half as long.
        if index % 3:
            random.Random(index).shuffle(words)
        mixed.append(" ".join(words[: len(words) // 2] if index % 3 == 2 else words))
    return mixed


def rows(hypotheses, references, target="deu_Latn"):
    predictions = [Prediction(str(index), line) for index, line in enumerate(hypotheses)]
    examples = [
        Example(str(index), {}, (line,) if isinstance(line, str) else line, {"target": target})
        for index, line in enumerate(references)
    ]
    return predictions, examples


def value(metric, *parallel):
    return score(metric.name, metric.stats(*parallel)).value


def command_line(tmp_path, hypotheses, references, *options):
    for name, lines in (("hyp", hypotheses), ("ref", references)):
        (tmp_path / name).write_text("".join(line + "\n" for line in lines), "utf-8")
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-w", "8", *options]
    command += ["-m", "bleu", "chrf", "--chrf-word-order", "2", "-f", "json"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    return {result["name"]: result for result in json.loads(run.stdout)}


@needs_flores
@pytest.mark.parametrize(
    ("language", "other", "tokenize"),
    [("deu_Latn", "eng_Latn", "13a"), ("swh_Latn", "deu_Latn", "13a"), ("zho_Hans", None, "zh")],
)
def test_both_equal_the_command_line_on_real_lines(tmp_path, language, other, tokenize):
    references = flores(language)
    hypotheses = shuffled(references) if other is None else flores(other)
    if other == "eng_Latn":
        hypotheses = shuffled(references)[:40] + hypotheses[40:]
    parallel = rows(hypotheses, references, language)
    theirs = command_line(tmp_path, hypotheses, references, "--tokenize", tokenize)
    for metric, name in ((BLEU(), "BLEU"), (ChrF(), "chrF2++")):
        stats = metric.stats(*parallel)
        ours = score(metric.name, stats)
        assert ours.value == pytest.approx(theirs[name]["score"], abs=1e-7)
        assert stats.signature == theirs[name]["signature"]
        assert ours.value > 0
        assert ours.low < ours.value < ours.high


@needs_flores
def test_both_equal_the_functions_with_equally_many_references():
    hypotheses, first = flores("eng_Latn"), flores("deu_Latn")
    second = shuffled(hypotheses)
    parallel = rows(hypotheses, list(zip(first, second, strict=True)))
    chrf = sacrebleu.corpus_chrf(hypotheses, [first, second], word_order=2)
    bleu = sacrebleu.corpus_bleu(hypotheses, [first, second])
    assert value(ChrF(), *parallel) == chrf.score
    assert value(BLEU(), *parallel) == bleu.score
    assert "nrefs:2" in ChrF().stats(*parallel).signature


@needs_flores
def test_both_equal_the_functions_with_a_changing_number_of_references():
    hypotheses, first = flores("eng_Latn"), flores("deu_Latn")
    second = [line if index % 2 else None for index, line in enumerate(shuffled(hypotheses))]
    targets = [
        (one,) if two is None else (one, two) for one, two in zip(first, second, strict=True)
    ]
    parallel = rows(hypotheses, targets)
    chrf = sacrebleu.corpus_chrf(hypotheses, [first, second], word_order=2)
    assert value(ChrF(), *parallel) == chrf.score
    assert value(BLEU(), *parallel) == sacrebleu.corpus_bleu(hypotheses, [first, second]).score
    for metric in (ChrF(), BLEU()):
        assert metric.stats(*parallel).signature.startswith("nrefs:var|")


@needs_flores
def test_options_reach_sacrebleu():
    hypotheses, references = [line.upper() for line in flores("deu_Latn")], flores("deu_Latn")
    parallel = rows(hypotheses, references)
    for options in ({"word_order": 0}, {"char_order": 4}, {"beta": 1}, {"lowercase": True}):
        scorer = sacrebleu.CHRF(**({"word_order": 2} | options))
        theirs = scorer.corpus_score(hypotheses, [references])
        assert value(ChrF(**options), *parallel) == theirs.score
    for options in ({"lowercase": True}, {"tokenize": "intl"}, {"tokenize": "char"}):
        theirs = sacrebleu.BLEU(**options).corpus_score(hypotheses, [references])
        assert value(BLEU(**options), *parallel) == theirs.score


@pytest.mark.parametrize("metric", [ChrF(), BLEU()])
def test_an_unparsed_prediction_is_an_empty_hypothesis(metric):
    references = ["the cat sat on the mat today", "a dog ran over the hill at noon"]
    missing = rows([references[0], None], references)
    assert value(metric, *missing) == value(metric, *rows([references[0], ""], references))
    assert 0 < value(metric, *missing) < value(metric, *rows(references, references))


@pytest.mark.parametrize("metric", [ChrF(), BLEU()])
def test_edges(metric):
    lines = ["the cat sat on the mat today", "a dog ran over the hill at noon"]
    assert value(metric, *rows(lines, lines)) == pytest.approx(100)
    assert value(metric, *rows(["", ""], lines)) == 0
    assert value(metric, *rows(["zzz", "qqq"], lines)) == 0
    assert value(metric, *rows(["some words here"], [""])) == 0
    one = metric.stats(*rows(lines[:1], lines[:1]))
    assert interval(one)[:2] == (None, None), "one row has no interval"
    empty = score("x", metric.stats([], []))
    assert (empty.value, empty.n) == (None, 0)
    assert empty.signature.startswith("nrefs:0|")
    assert empty.signature.endswith("|ci:none")


@pytest.mark.parametrize("metric", [ChrF(), BLEU()])
def test_resampling_leaves_the_value_as_it_was(metric):
    # compute_bleu changes the lists it is given under some smoothings.
    lines = ["the cat sat on the mat today", "a dog ran over the hill at noon"]
    stats = metric.stats(*rows(shuffled(lines), lines))
    before = score("x", stats)
    assert score("x", stats) == before


@pytest.mark.parametrize("scorer", [sacrebleu.BLEU(), sacrebleu.CHRF(), sacrebleu.TER()])
def test_sacrebleu_still_adds_up_the_statistics_of_segments(scorer):
    """Two of its functions are private: should a new version rename them, this says so first."""
    hypotheses, references = ["a b c d e", "f g h i j"], ["a b c d f", "f g h i j"]
    statistics = scorer._extract_corpus_statistics(hypotheses, [references])
    added = [sum(column) for column in zip(*statistics, strict=True)]
    score = scorer._compute_score_from_stats(added).score
    assert score == pytest.approx(scorer.corpus_score(hypotheses, [references]).score)
    assert len(statistics) == 2 and 0 < score < 100
