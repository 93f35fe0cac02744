"""How often intervals hold the population's value, and tests cry wolf, by simulation.

A population of rows is made once; samples of 10, 30 and 100 of its rows are drawn from it, and each
is scored by the code that users run. ``make trust`` prints the whole table; the default tests run a
short form of it, which percentile bootstraps do not pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from icl.core.stats import Stats, aggregate, interval, mean, proportion, wilson
from icl.core.types import Example, Prediction
from icl.metrics.bleu import BLEU
from icl.metrics.chrf import ChrF
from icl.metrics.item_f1 import ItemF1
from icl.metrics.judge import kappa
from icl.metrics.length_ratio import LengthRatio
from icl.metrics.macro_f1 import MacroF1
from icl.metrics.ter import TER
from icl.scoring.reliability import ece_scores
from icl.scoring.significance import measure_difference
from icl.scoring.win_rate import Wins

Floats = npt.NDArray[np.float64]
SIZES = (10, 30, 100)
RUNS = 2000
POPULATION = 6000
LEAST, MOST = 93.0, 98.0
"""Percent of intervals that hold the value, as wanted."""
WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "n", "s", "lo", "ri")]


@dataclass(frozen=True)
class Covered:
    """What became of the samples of one size."""

    shown: int
    """Samples with an interval."""
    held: float
    """Percent of their intervals that hold the value."""
    runs: int

    def __str__(self) -> str:
        share = "" if self.shown == self.runs else f" ({100 * self.shown / self.runs:.0f} % shown)"
        return f"{self.held:5.1f}{share}" if self.shown else "   none"


def stats_of(population: Stats, value: float, n: int, runs: int, seed: int) -> Covered:
    """Coverage of one score's interval."""
    chance = np.random.default_rng(seed)
    shown = held = 0
    for _ in range(runs):
        rows = population.rows[chance.integers(0, len(population.rows), n)]
        low, high, _ = interval(replace(population, rows=rows))
        if low is not None and high is not None:
            shown += 1
            held += low - 1e-9 <= value <= high + 1e-9
    return Covered(shown, 100 * held / max(shown, 1), runs)


def value_of(stats: Stats) -> float:
    found = stats.value(stats.rows.sum(axis=0))
    assert found is not None
    return found


@dataclass(frozen=True)
class Pairs:
    """What became of the samples of two systems."""

    covered: Covered
    alarms: float
    """Percent of tests with p below 0.05."""
    split: int
    """Samples in which p and the interval contradict each other."""


def pairs_of(a: Stats, b: Stats, n: int, runs: int, seed: int) -> Pairs:
    """Coverage of the difference's interval, and how often p is below 0.05."""
    chance = np.random.default_rng(seed)
    value = value_of(b) - value_of(a)
    shown = held = alarms = split = 0
    for _ in range(runs):
        some = chance.integers(0, len(a.rows), n)
        made = measure_difference(replace(a, rows=a.rows[some]), replace(b, rows=b.rows[some]))
        assert made.p is not None
        alarms += made.p < 0.05
        if made.low is not None and made.high is not None:
            shown += 1
            held += made.low - 1e-9 <= value <= made.high + 1e-9
            split += (made.p < 0.05) != (made.low > 0 or made.high < 0)
    return Pairs(Covered(shown, 100 * held / max(shown, 1), runs), 100 * alarms / runs, split)


# Populations.


def scores(kind: str, seed: int = 0) -> Floats:
    """One number from 0 to 1 a row, as metrics of rows give them."""
    chance = np.random.default_rng(seed)
    share = chance.random(POPULATION)
    values = {
        "even": chance.beta(2, 2, POPULATION),
        "summaries": chance.beta(4, 12, POPULATION),
        "good summaries": chance.beta(20, 5, POPULATION),
        "skewed": chance.beta(1, 6, POPULATION),
        "short answers": chance.beta(3, 3, POPULATION),
        "mostly wrong": chance.beta(2, 2, POPULATION),
        "mostly right": chance.beta(2, 2, POPULATION),
    }[kind]
    wrong, right = {
        "short answers": (0.45, 0.35),
        "mostly wrong": (0.9, 0.0),
        "mostly right": (0.0, 0.9),
    }.get(kind, (0.0, 0.0))
    values[share < wrong] = 0
    values[share > 1 - right] = 1
    return values


SCORES = (
    "even",
    "summaries",
    "good summaries",
    "skewed",
    "short answers",
    "mostly wrong",
    "mostly right",
)


def seeded(p: float, alike: float, times: int = 3, seed: int = 0) -> Stats:
    """Hits of several seeds on the same rows, whose chance to be hit differs by row."""
    chance = np.random.default_rng(seed)
    each = chance.beta(p / alike, (1 - p) / alike, POPULATION)
    keys = [str(row) for row in range(POPULATION)]
    return aggregate(
        [(proportion(list(chance.random(POPULATION) < each), "x"), keys) for _ in range(times)]
    )


def noisy(words: Sequence[str], noise: float, chance: np.random.Generator) -> list[str]:
    """A text with words replaced, left out and added."""
    made: list[str] = []
    for word in words:
        drawn = chance.random()
        if drawn < 0.8 * noise:
            made += [] if drawn > 0.6 * noise else [str(chance.choice(WORDS))]
        else:
            made += [word, str(chance.choice(WORDS))] if drawn < noise else [word]
    return made


@cache
def texts(quality: tuple[float, float], seed: int) -> tuple[list[Example], list[Prediction]]:
    """References, the same for all, and noisy versions of them."""
    chance = np.random.default_rng(0)
    lengths = np.maximum(3, chance.lognormal(np.log(12), 0.5, POPULATION)).astype(int)
    references = [[str(w) for w in chance.choice(WORDS, length)] for length in lengths]
    noise = np.random.default_rng(seed)
    examples = [Example(str(i), {}, (" ".join(r),)) for i, r in enumerate(references)]
    said = [noisy(r, noise.beta(*quality), noise) for r in references]
    return examples, [Prediction(str(i), " ".join(words)) for i, words in enumerate(said)]


QUALITY = {"good": (1.5, 6.0), "mixed": (0.5, 0.5), "bad": (4.0, 2.0)}


def labelled(labels: int, right: float, seed: int = 0) -> tuple[list[Example], list[Prediction]]:
    """Gold labels, some rarer than others, and predictions that are wrong at random."""
    chance = np.random.default_rng(0)
    often = 1 / np.arange(1, labels + 1) ** 0.3
    gold = chance.choice(labels, POPULATION, p=often / often.sum())
    drawn = np.random.default_rng(seed + 1)
    hit = drawn.random(POPULATION) < right
    said = np.where(hit, gold, drawn.choice(labels, POPULATION))
    return (
        [Example(str(i), {}, (f"l{g:02}",)) for i, g in enumerate(gold)],
        [Prediction(str(i), f"l{s:02}") for i, s in enumerate(said)],
    )


def singles(slow: bool) -> Iterator[tuple[str, Stats]]:
    """Every kind of score with an interval, by name."""
    for kind in SCORES if slow else ("short answers", "mostly wrong", "skewed"):
        yield f"mean of rows, {kind}", mean(list(scores(kind)), "x")
    yield "mean of 3 seeds, 50 %", seeded(0.5, 0.5)
    yield "mean of 3 seeds, 5 %", seeded(0.05, 0.1)
    if not slow:
        return
    yield "mean of 3 seeds, 2 %", seeded(0.02, 0.1)
    yield "mean of 10 seeds, 90 %", seeded(0.9, 0.5, 10)
    for name, quality in QUALITY.items():
        examples, predictions = texts(quality, 1)
        for metric in (ChrF(), ChrF(word_order=0), BLEU(), TER(), LengthRatio()):
            yield f"{metric.label}, {name}", metric.stats(predictions, examples)
    for labels, right in ((2, 0.7), (2, 0.9), (3, 0.5), (10, 0.6)):
        examples, predictions = labelled(labels, right)
        yield (
            f"macro-F1, {labels} labels, {100 * right:.0f} %",
            MacroF1().stats(predictions, examples),
        )
    yield "item F1", items()
    chance = np.random.default_rng(0)
    yield "log-probabilities", mean(list(-chance.gamma(2, 1, POPULATION)), "x", "real")
    first = chance.choice(["yes", "no"], POPULATION, p=[0.6, 0.4])
    second = np.where(chance.random(POPULATION) < 0.8, first, first[::-1])
    yield "kappa", kappa([(str(a), str(b)) for a, b in zip(first, second, strict=True)], "x")


def items() -> Stats:
    """Items in both, in the prediction and in the target of each row."""
    chance = np.random.default_rng(0)
    wanted = chance.poisson(2, POPULATION) + 1
    both = chance.binomial(wanted, chance.beta(2, 1, POPULATION))
    said = both + chance.poisson(0.5, POPULATION)
    rows = np.stack([both, said, wanted], axis=1).astype(float)
    return replace(ItemF1().stats([], []), rows=rows)


def couples(slow: bool) -> Iterator[tuple[str, Stats, Stats]]:
    """Two systems on the same rows: equally good where the name says *null*."""
    chance = np.random.default_rng(5)

    def hits(p: float, again: float, other: float) -> tuple[Stats, Stats]:
        one = chance.random(POPULATION) < p
        two = np.where(chance.random(POPULATION) < again, one, chance.random(POPULATION) < other)
        return proportion(list(one), "x"), proportion(list(two), "x")

    yield "hits, null", *hits(0.5, 0.5, 0.5)
    yield "hits, +20", *hits(0.3, 0.5, 0.7)
    first = scores("short answers")
    second = np.where(chance.random(POPULATION) < 0.5, first, scores("short answers", 1))
    yield "mean of rows, null", mean(list(first), "x"), mean(list(second), "x")
    yield "mean of rows against 0", mean([0.0] * POPULATION, "x"), mean(list(first), "x")
    yield "mean of 3 seeds, null", seeded(0.5, 0.5, 3, 1), seeded(0.5, 0.5, 3, 2)
    if not slow:
        return
    yield "hits, rare, null", *hits(0.05, 0.0, 0.05)
    yield "hits, alike, null", *hits(0.5, 0.9, 0.5)
    yield "summaries, null", *(mean(list(scores("summaries", s)), "x") for s in (1, 2))
    for name, quality in QUALITY.items():
        examples, one = texts(quality, 1)
        _, two = texts(quality, 2)
        _, other = texts(QUALITY["bad"], 3)
        for metric in (ChrF(), BLEU(), TER()):
            both = metric.stats([*one, *two, *other], [*examples] * 3)
            a, b, c = (replace(both, rows=rows) for rows in np.split(both.rows, 3))
            yield f"{metric.label}, {name}, null", a, b
            if name == "good":
                yield f"{metric.label}, good against bad", a, c
    for labels in (2, 5):
        examples, one = labelled(labels, 0.6, 1)
        _, two = labelled(labels, 0.6, 2)
        both = MacroF1().stats([*one, *two], [*examples] * 2)
        a, b = (replace(both, rows=rows) for rows in np.split(both.rows, 2))
        yield f"macro-F1, {labels} labels, null", a, b


def sound(name: str, found: Covered, runs: int) -> list[str]:
    """What is wrong with a coverage, allowing for the error of the simulation."""
    error = 3 * 100 * np.sqrt(0.07 * 0.93 / max(found.shown, 1))
    wrong = []
    if 0.1 * runs < found.shown and found.held < LEAST - error:
        wrong.append(f"{name}: {found}")
    return wrong


def test_intervals_of_one_score_hold_what_they_say() -> None:
    """The percentile bootstrap holds 64 % of the means of mostly wrong rows at n = 10."""
    wrong = []
    for name, population in singles(slow=False):
        value = value_of(population)
        for n in SIZES[:2]:
            wrong += sound(f"{name}, n = {n}", stats_of(population, value, n, 400, n), 400)
    assert not wrong


def test_intervals_of_differences_hold_and_agree_with_p() -> None:
    wrong = []
    for name, a, b in couples(slow=False):
        for n in SIZES[:2]:
            found = pairs_of(a, b, n, 300, n)
            wrong += sound(f"{name}, n = {n}", found.covered, 300)
            assert found.split == 0, name
            if "null" in name:
                assert found.alarms <= 5 + 3 * 100 * np.sqrt(0.05 * 0.95 / 300), (name, n)
    assert not wrong


def test_macro_f1_has_an_interval_only_where_each_label_has_its_rows() -> None:
    examples, predictions = labelled(60, 0.5)
    whole = MacroF1().stats(predictions, examples)
    low, high, made = interval(replace(whole, rows=whole.rows[:60]))
    assert (low, high) == (None, None)
    assert made == "none (needs 5 gold rows of each label)" or made.startswith("none (needs about")
    examples, predictions = labelled(3, 0.5)
    some = MacroF1().stats(predictions, examples)
    found = stats_of(some, value_of(some), 60, 300, 0)
    assert found.shown == 300 and found.held > 91


def wilson_coverage(n: int, shares: Floats) -> Floats:
    """Exact coverage of Wilson's interval of each share."""
    hits = np.arange(n + 1)
    ends = np.array([wilson(int(k), n) for k in hits])
    held = (ends[:, :1] <= shares) & (shares <= ends[:, 1:])  # (n + 1, shares)
    made: Floats = 100 * (binom.pmf(hits[:, None], n, shares[None, :]) * held).sum(axis=0)
    return made


@pytest.mark.parametrize("n", [10, 30, 60, 100])
def test_wilson_holds_95_percent_on_average_and_never_less_than_89(n: int) -> None:
    inner = wilson_coverage(n, np.linspace(0.05, 0.95, 901))
    assert abs(inner.mean() - 95) <= 1
    assert inner.min() >= 89
    # The dip that docs/statistics.md tells of.
    outer = wilson_coverage(n, np.linspace(0.0005, 0.05, 2000))
    assert 83 <= outer.min() < 89


def ece_samples(kind: str, n: int, runs: int) -> tuple[float, Iterator[Stats]]:
    """ECE of a population, and samples of it."""
    chance = np.random.default_rng(3)
    sure = 0.3 + 0.7 * chance.beta(4, 3, POPULATION)
    shift = {"calibrated": 0.0, "too sure by 10": 0.1, "too sure by 30": 0.3}[kind]
    hits = chance.random(POPULATION) < np.clip(sure - shift, 0, 1)
    rows = np.zeros((POPULATION, 30))
    place = 3 * np.clip(np.ceil(10 * sure).astype(int) - 1, 0, 9)
    every = np.arange(POPULATION)
    rows[every, place], rows[every, place + 1], rows[every, place + 2] = 1, sure, hits

    def value(row: Floats) -> float:
        count, confidence, right = row.reshape(10, 3).T
        return float(100 * np.abs(right - confidence).sum() / count.sum())

    whole = Stats(rows, value, "ece")
    drawn = (chance.integers(0, POPULATION, n) for _ in range(runs))
    return value_of(whole), (replace(whole, rows=rows[some]) for some in drawn)


def ece_of(kind: str, n: int, runs: int) -> tuple[float, float, float, float, float]:
    """Of a population and its samples: ECE, mean ECE, mean by chance, mean debiased, coverage."""
    truth, samples = ece_samples(kind, n, runs)
    plain, chances, debiased, held = [], [], [], 0
    for stats in samples:
        ece, by_chance, without = ece_scores("none", stats)
        assert None not in (ece.value, ece.low, ece.high, by_chance.value, without.value)
        assert ece.low <= without.value <= ece.high and ece.low <= ece.value <= ece.high
        plain.append(ece.value)
        chances.append(by_chance.value)
        debiased.append(without.value)
        held += ece.low - 1e-9 <= truth <= ece.high + 1e-9
    means = (float(np.mean(some)) for some in (plain, chances, debiased))
    return truth, *means, 100 * held / runs


def test_ece_of_a_calibrated_model_is_what_chance_makes_of_it() -> None:
    truth, plain, by_chance, debiased, held = ece_of("calibrated", 60, 60)
    assert truth < 2 and plain > 8
    assert plain == pytest.approx(by_chance, abs=1.5)
    assert debiased < plain / 2
    assert held >= 88


def win_rates(p: float, ties: float, n: int, runs: int) -> Covered:
    chance = np.random.default_rng(n)
    shown = held = 0
    for _ in range(runs):
        wins, tied, losses = chance.multinomial(n, [p * (1 - ties), ties, (1 - p) * (1 - ties)])
        made = Wins(int(wins), int(tied), int(losses))
        if made.share is not None:
            shown += 1
            held += made.interval[0] <= p <= made.interval[1]
    return Covered(shown, 100 * held / shown, runs)


Print = Callable[[str], None]


@pytest.mark.slow
def test_every_interval_and_test_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """What ``make trust`` prints: percent of intervals that hold, and of null tests below 0.05."""
    wrong: list[str] = []
    with capsys.disabled():
        print(f"\n\npercent of intervals that hold, {RUNS} samples of n rows (wanted 93 to 98)")
        print(f"{'':38}" + "".join(f"{f'n = {n}':>18}" for n in SIZES))
        inner = np.linspace(0.05, 0.95, 901)
        covered = [wilson_coverage(n, inner) for n in SIZES]
        cells = (f"{one.mean():.1f} (least {one.min():.1f})" for one in covered)
        print(f"{'Wilson, exact, p from .05 to .95':38}" + "".join(f"{c:>18}" for c in cells))
        for name, population in singles(slow=True):
            value = value_of(population)
            found = [stats_of(population, value, n, RUNS, n) for n in SIZES]
            print(f"{name:38}" + "".join(f"{one!s:>18}" for one in found), flush=True)
            for n, one in zip(SIZES, found, strict=True):
                wrong += sound(f"{name}, n = {n}", one, RUNS)
        for p, ties in ((0.5, 0.3), (0.7, 0.6)):
            found = [win_rates(p, ties, n, RUNS) for n in SIZES]
            name = f"win rate {100 * p:.0f} %, {100 * ties:.0f} % ties"
            print(f"{name:38}" + "".join(f"{one!s:>18}" for one in found), flush=True)
        print("\ndifferences: percent that hold / tests below 0.05 (null: 5 at most)")
        for name, a, b in couples(slow=True):
            # Without an interval there is p alone, of 10,000 exchanges: a tenth of the samples.
            tested = [pairs_of(a, b, n, RUNS if n >= a.min_rows else RUNS // 10, n) for n in SIZES]
            cells = (f"{one.covered} / {one.alarms:.1f}" for one in tested)
            print(f"{name:38}" + "".join(f"{c:>18}" for c in cells), flush=True)
            for n, pair in zip(SIZES, tested, strict=True):
                wrong += sound(f"{name}, n = {n}", pair.covered, RUNS)
                if pair.split:
                    wrong.append(f"{name}, n = {n}: p and interval disagree in {pair.split}")
                if "null" in name and pair.alarms > 5 + 330 * np.sqrt(0.05 / pair.covered.runs):
                    wrong.append(f"{name}, n = {n}: {pair.alarms} % false alarms")
        print("\nECE: of the population / of samples / by chance / debiased / percent that hold")
        for kind in ("calibrated", "too sure by 10", "too sure by 30"):
            for n in (30, 60, 100):
                numbers = ece_of(kind, n, RUNS // 10)
                print(f"{f'{kind}, n = {n}':38}" + "".join(f"{x:8.1f}" for x in numbers))
    assert not wrong, "\n".join(wrong)
