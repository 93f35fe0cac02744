"""The content of a report page's section: the conditions of one task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.errors import (
    CalibrationError,
    ConfigError,
    DataError,
    IclError,
    MetricError,
    join_lines,
)
from icl.core.languages import find_language
from icl.core.number_text import format_number, format_score
from icl.core.probabilities import label_shares
from icl.core.score_name import ScoreName, own_scores
from icl.core.stats import wilson
from icl.core.types import Score
from icl.records.results import ConditionResult
from icl.reports.errors import Confusion, ScoredAnswer, count_confusions, pick_worst, score_answers
from icl.reports.grid import Grid
from icl.reports.groups import Group, Row, title_score
from icl.reports.locale_tables import lay_out_slices, name_combination
from icl.reports.margins import note_margins
from icl.reports.notes import name_settings, note_fallbacks, note_gold
from icl.reports.page import plots
from icl.reports.page.best_against import BestComparison, compare_best, describe_best
from icl.reports.page.interval_strips import Scale, Strip, fit_scale
from icl.reports.page.locale_plot import draw_slices
from icl.reports.prompt_parts import PromptPiece, bound_pieces, split_record_prompt
from icl.reports.safe_text import find_html_language, shorten_middle
from icl.reports.slot_tables import describe_slot_confusion, list_slot_confusions
from icl.reports.slot_view import draw_record_slots
from icl.reports.summary import summarize_group
from icl.scoring.against import Margins
from icl.scoring.checks import Finding
from icl.scoring.compare import Comparison
from icl.scoring.locale_slices import BY, LocaleSlices
from icl.scoring.reliability import reliability
from icl.scoring.sensitivity import Spread
from icl.scoring.slot_scores import SlotConfusion, SlotScore, confuse_slots, score_slots
from icl.tasks.baselines import describe_ties

__all__ = ["PROMPTS", "LocaleScore", "Section", "TEXT_CHARS", "score_locales", "make_section"]


ROWS, PROMPTS, ERRORS, FIGURES = 200, 24, 10, 12
"""Most conditions in a table, prompts on the page, errors of a task, figures of a task."""
CALIBRATORS = 3
"""Most calibrators whose reliability is drawn next to that of the plain answers."""
LOCALES, LOCALE_SETS = 80, 4
"""Most locales in a table, and most such tables of a task."""
PROMPT_CHARS, TEXT_CHARS = 8_000, 1_000
"""Most characters of a prompt, and of an answer or a field."""
FACTS = {
    "over_length": "cut at max_tokens",
    "unparsed": "no answer",
    "unended": "reasoning unended",
    "broken": "broken marks or JSON",
    "unknown": "unknown slot names",
    "altered": "words of the text altered",
    "invented": "values not in the text",
    "filtered": "filtered by the server",
    "refused": "refused by the model",
    "shortened": "prompt shortened",
}


@dataclass(frozen=True)
class Bar:
    """A choice and its share of the probability of all choices."""

    label: str
    percent: float
    right: bool


@dataclass(frozen=True)
class Exhibit:
    """One record with its prompt and answer, prepared for display."""

    row: Row
    answer: ScoredAnswer
    pieces: Sequence[PromptPiece]
    bars: Sequence[Bar]
    texts: Sequence[str]
    """The generated texts; empty if choices were ranked."""
    same: bool = True
    """Whether the rendered prompt equals the one that was sent."""
    error: str = ""
    """Reason why the prompt cannot be shown; empty if it can."""
    slots: str = ""
    """The slots, right and answered, as HTML; empty where answers are none."""


@dataclass(frozen=True)
class LocaleScore:
    """A locale and its score."""

    name: str
    row: Row
    strip: Strip | None


@dataclass(frozen=True)
class SlicePanel:
    """A picture of slices, and their tables."""

    title: str
    drawing: str
    """SVG; empty if it cannot be drawn."""
    grid: Grid
    """Every slice with its score and difference."""
    macro: Grid
    """One row: the mean over all locales."""

    @property
    def macro_cells(self) -> list[tuple[str, str]]:
        """(head, text) of the mean's row, without the settings in front."""
        cells = zip(self.macro.heads[1:], self.macro.rows[0][1:], strict=True)
        return [(head, cell.text) for head, cell in cells if cell.text]

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the mean and on the differences."""
        return (*self.macro.notes, *self.grid.notes)


@dataclass(frozen=True)
class Section:
    """The data of one group of conditions that the page's template shows."""

    anchor: str
    group: Group
    words: Sequence[str]
    scale: Scale
    against: Sequence[BestComparison]
    against_left: int
    findings: Sequence[tuple[str, Finding, int]]
    """(condition, finding, number of other conditions with the same): each kind of check once."""
    spreads: Sequence[tuple[Spread, str, Sequence[float]]]
    """(spread, other settings in words, positions of its values on the scale)."""
    diagrams: Sequence[tuple[str, str, float | None]]
    """(calibrator, SVG, ECE) of the best condition, if it ranked."""
    answers: Sequence[ScoredAnswer]
    """Answers of the best condition."""
    figures: Sequence[tuple[str, plots.Panel]]
    """(SVG, panel); the SVG is empty if it cannot be drawn."""
    locales: Sequence[tuple[str, Scale, Sequence[LocaleScore], int]]
    """(other settings, scale, scores, number of locales left out)."""
    slices: Sequence[SlicePanel]
    """The scores by locale, and by what the experiment's ``report:`` names."""
    prompts: Sequence[Exhibit]
    errors: Sequence[Exhibit]
    wrong: int
    """Number of the best condition's wrong answers, shown or not."""
    confusion: Confusion | None
    margins: Margins
    """Differences of the conditions to their baselines."""
    slots: Sequence[SlotScore] = ()
    """Slots of the best condition one by one; empty where answers are none."""
    slot_errors: SlotConfusion | None = None
    """Confusions of the slots of the best condition."""

    @property
    def compared(self) -> bool:
        """Return whether any condition of the table is compared with a baseline."""
        return any(self.margin(row) is not None for row in self.group.rows)

    @property
    def tests(self) -> list[str]:
        """Return a note on the tests behind the differences to the strongest baseline."""
        return list(note_margins([self.margin(row) for row in self.group.rows]))

    def margin(self, row: Row) -> Comparison | None:
        """Return the condition against its strongest baseline; None if there is none."""
        return self.margins.strongest.get(row.condition.entry.fingerprint)

    @property
    def shown(self) -> Sequence[Row]:
        """The conditions listed in the table."""
        return self.group.rows[:ROWS]

    @property
    def slot_words(self) -> list[str]:
        """Describe the spans of the best condition: right, missed, confused."""
        return [] if self.slot_errors is None else describe_slot_confusion(self.slot_errors)

    @property
    def slot_pairs(self) -> list[tuple[str | None, str | None, int]]:
        """(right, answered, spans) of slots taken for others, the most frequent first."""
        return [] if self.slot_errors is None else list_slot_confusions(self.slot_errors)

    @property
    def prompts_left(self) -> int:
        """Number of answered conditions whose prompt is not shown."""
        there = sum(bool(row.condition.records) for row in self.group.rows)
        return there - len(self.prompts)

    @property
    def answered(self) -> int:
        """Number of answers of the best condition."""
        return len(self.answers)

    @property
    def ranked(self) -> bool:
        """Return whether the best condition's answers have a confidence."""
        return any(one.confidence is not None for one in self.answers)

    @property
    def primary(self) -> str:
        """Title of the score in the table's first column."""
        best = self.group.best
        return self.title(best.primary.name) if best and best.primary else "score"

    def title(self, name: str) -> str:
        """Return the table's title for the scores of a name."""
        return title_score(name, [one for row in self.group.rows for one in row.scores.values()])

    @property
    def baselines(self) -> list[str]:
        """Names of the baselines of the first metric."""
        found = [ScoreName.of_score(s).role for row in self.group.rows for s in row.baselines()]
        return list(dict.fromkeys(found))

    @property
    def ties(self) -> list[str]:
        """Return the ties behind the baselines of the table."""
        return describe_ties(one for row in self.group.rows for one in row.baselines())

    @property
    def fallbacks(self) -> bool:
        """Return whether a condition has words from its template's fallback language."""
        return any(row.condition.entry.fallbacks for row in self.group.rows)

    @property
    def ticked(self) -> bool:
        """Return whether the strips have marks for baselines."""
        return bool(self.baselines)

    @property
    def others(self) -> list[str]:
        """Names of the scores other than the first one and its calibrated forms."""
        first = {row.primary.name for row in self.group.rows if row.primary}
        own = [one.name for row in self.group.rows for one in own_scores(row.scores.values())]
        return [name for name in dict.fromkeys(own) if name not in first]

    @property
    def facts(self) -> list[tuple[str, str]]:
        """(name, title) of the counts that are not 0 in every condition."""
        found = {s.name for row in self.group.rows for s in row.of_kind("count") if s.value}
        return [
            (name, FACTS.get(name, name)) for name in self.group.names("count") if name in found
        ]

    def notes(self, calibrated: bool) -> list[tuple[str, str]]:
        """Return (title, signature) of the calibrated or uncalibrated scores that are shown."""
        made: dict[tuple[str, str], None] = {}
        for row in self.group.rows:
            for one in row.of_kind("model"):
                if bool(ScoreName.of_score(one).calibrator) is calibrated:
                    whose = name_settings([r.condition for r in self.group.rows], one.name)
                    signed = f"{one.signature}{whose.get(one.settings, '')}"
                    made[title_score(one.name, [one]), signed] = None
        return list(made)

    @property
    def calibrated(self) -> list[tuple[Row, dict[str, Score]]]:
        """(condition, scores by calibrator) of conditions with calibrated scores."""
        made = []
        for row in self.shown:
            own = row.primary and ScoreName.of_score(row.primary)
            read = [(ScoreName.of_score(one), one) for one in row.of_kind("model")]
            found = {name.calibrator: one for name, one in read if name.plain == own != name}
            if found:
                made.append((row, found))
        return made

    @property
    def calibrators(self) -> list[str]:
        """Names of all calibrators of the group."""
        return list(dict.fromkeys(name for _, found in self.calibrated for name in found))

    def lang(self, one: Exhibit) -> str:
        """Return the HTML language of a free-text answer: the target language; else empty."""
        meta = one.answer.example.meta
        return find_html_language(meta.get("target")) if self._free else ""

    def source_lang(self, one: Exhibit) -> str:
        """Return the HTML language of a query's data."""
        meta = one.answer.example.meta
        return find_html_language(meta.get("source") or meta.get("locale"))

    @property
    def _free(self) -> bool:
        return self.group.rows[0].condition.task.kind.labels is None


def make_section(
    anchor: str,
    group: Group,
    prompts: int,
    findings: Sequence[Finding],
    spread: Sequence[Spread],
    margins: Margins,
    slice_groups: Sequence[LocaleSlices] = (),
) -> Section:
    """Prepare everything that the page shows of a group, with at most ``prompts`` prompts."""
    best = group.best
    found = score_answers(best.condition) if best is not None else []
    wrong, n_wrong = pick_worst(found, ERRORS)
    labelled = best is not None and best.condition.task.kind.labels is not None
    primary = [row.primary for row in group.rows if row.primary is not None]
    plain = [score for row in group.rows for score in row.baselines()]
    line = fit_scale([*primary, *plain])
    compared, left = compare_best(group)
    return Section(
        anchor,
        group,
        [
            *summarize_group(group, margins),
            *note_gold([row.condition for row in group.rows]),
            *note_fallbacks([row.condition for row in group.rows]),
            *(describe_best(compared, best) if best is not None else ()),
        ],
        line,
        compared,
        left,
        _findings(group, findings),
        [(one, _where(one, group), [line.at(value) for value in one.values]) for one in spread],
        _diagrams(anchor, best) if best is not None else (),
        found,
        _figures(anchor, group),
        score_locales(group),
        _draw_slices(anchor, slice_groups),
        [_exhibit(row) for row in _to_show(group, prompts)],
        [_error(best, one) for one in wrong] if best is not None else (),
        n_wrong,
        count_confusions(found) if labelled else None,
        margins,
        *(_slots(best.condition) if best is not None else ()),
    )


def _draw_slices(anchor: str, slice_groups: Sequence[LocaleSlices]) -> list[SlicePanel]:
    """Draw the slices of a task, those of its best combinations of other settings first."""
    ranked = sorted(slice_groups, key=lambda one: -(one.macro.value or 0.0))
    made, counts = [], dict.fromkeys(BY, 0)
    for place, one in enumerate(ranked):
        counts[one.by] += 1
        if counts[one.by] > LOCALE_SETS:
            continue
        macro, listed = lay_out_slices([one], "", every=True)
        drawn = draw_slices(one, f"{anchor}-slices{place}") if plots.is_available() else ""
        title = name_combination(one, [other for other in slice_groups if other.by == one.by])
        made.append(SlicePanel(title, drawn, listed, macro))
    return made


def _slots(condition: ConditionResult) -> tuple[list[SlotScore], SlotConfusion] | tuple[()]:
    if condition.task.kind.gold != "spans":
        return ()
    return score_slots(condition)[:ROWS], confuse_slots(condition)


def _to_show(group: Group, most: int) -> list[Row]:
    """Select the conditions whose prompts are shown: the first ones, and always the best one."""
    begun = [row for row in group.rows if row.condition.records]
    shown = begun[:most]
    if group.best is not None and group.best not in shown:
        shown = [*shown[:-1], group.best]
    return shown


def _findings(group: Group, findings: Sequence[Finding]) -> list[tuple[str, Finding, int]]:
    """List each kind of finding once: the best condition's, or else the first one."""
    names = {row.condition.entry.fingerprint: row.name for row in group.rows}
    best = group.best.condition.entry.fingerprint if group.best is not None else ""
    kinds: dict[str, list[Finding]] = {}
    for one in findings:
        if one.condition in names:
            kinds.setdefault(one.name, []).append(one)
    made = []
    for alike in kinds.values():
        told = next((one for one in alike if one.condition == best), alike[0])
        others = {one.condition for one in alike} - {told.condition}
        made.append((names[told.condition], told, len(others)))
    return made


def _where(one: Spread, group: Group) -> str:
    """Describe the settings of a spread that differ within its group."""
    shown = {**one.where}
    for inert in ("task", *group.fixed):
        shown.pop(inert, None)
    if "shots" in shown:
        for part in ("k", "select", "order", "seed", "scope"):
            shown.pop(part, None)
    if shown.get("order") == "selected":
        del shown["order"]
    return " · ".join(
        value if key not in ("k", "seed") else f"{key} {value}" for key, value in shown.items()
    )


def _diagrams(anchor: str, best: Row) -> list[tuple[str, str, float | None]]:
    """Draw reliability diagrams of the best condition, uncalibrated and calibrated."""
    condition = best.condition
    if not any(record.logprobs for record in condition.records.values()):
        return []
    applied = [one.name for one in condition.calibrations if not one.refused and one.name != "none"]
    made: list[tuple[str, str, float | None]] = []
    for place, name in enumerate(["uncalibrated", *applied[:CALIBRATORS]]):
        try:
            used = condition.calibrator(name) if place else None
            found = reliability(condition, used)
        except (CalibrationError, ConfigError, MetricError):
            continue  # the table of calibrators says why; or a plug-in is gone
        bins = []
        for one in found.bins:
            if one.confidence is not None and one.accuracy is not None:
                low, high = wilson(one.accuracy * one.n / 100, one.n)
                bins.append((one.confidence, one.accuracy, 100 * low, 100 * high, one.n))
        said = f"Reliability of {best.name}, {name}: expected calibration error "
        said += (
            f"{format_number(found.ece.value)} ({format_number(found.by_chance.value)} by chance "
            f"alone on as many rows; debiased {format_score(found.debiased)})"
        )
        drawn = ""
        if plots.is_available():
            drawn = plots.draw_reliability(bins, f"{anchor}-sure{place}", said)
        made.append((name, drawn, found.ece.value))
    return made


def _figures(anchor: str, group: Group) -> list[tuple[str, plots.Panel]]:
    panels = plots.make_shot_panels(group)[:FIGURES]
    if not plots.is_available() or group.best is None or group.best.primary is None:
        return [("", panel) for panel in panels]
    label = title_score(group.best.primary.name, [group.best.primary])
    return [
        (plots.draw_shots(panel, label, f"{anchor}-shots{place}"), panel)
        for place, panel in enumerate(panels)
    ]


def score_locales(group: Group) -> list[tuple[str, Scale, Sequence[LocaleScore], int]]:
    """Rank the scores by locale, for the best combinations of all other settings."""
    if "locale" not in group.varying:
        return []
    at = group.varying.index("locale")
    sets: dict[str, list[Row]] = {}
    for row in group.rows:
        rest = " · ".join(word for place, word in enumerate(row.words) if place != at and word)
        if row.primary is not None:
            sets.setdefault(rest, []).append(row)
    made: list[tuple[str, Scale, Sequence[LocaleScore], int]] = []
    for name, rows in sorted(sets.items(), key=lambda item: -_mean(item[1]))[:LOCALE_SETS]:
        if len(rows) < 2:
            continue
        line = fit_scale([s for row in rows for s in (row.primary, *row.baselines()) if s])
        ordered = sorted(rows, key=lambda row: -_mean([row]))
        places = [
            LocaleScore(_locale(row.words[at]), row, line.strip(row.primary, row.baselines()))
            for row in ordered[:LOCALES]
        ]
        made.append((name, line, places, len(ordered[LOCALES:])))
    return made


def _mean(rows: Sequence[Row]) -> float:
    values = [row.primary.value for row in rows if row.primary is not None]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0


def _locale(tag: str) -> str:
    """Return a locale's name and tag, ``Swahili (sw-KE)``; only the tag if it names no language."""
    try:
        names = " → ".join(find_language(part).name() for part in tag.split("→"))
    except DataError:
        return tag
    return f"{names} ({tag})"


def _exhibit(row: Row) -> Exhibit:
    """Prepare the first record of a condition with its whole prompt."""
    condition = row.condition
    record = next(iter(condition.records.values()))
    said = condition.predict(record)
    one = ScoredAnswer(condition.examples[0], record, said, None, None)
    bars, texts = _said(row, one, 5)
    slots = draw_record_slots(condition, record)
    try:
        shown, same = split_record_prompt(condition, record)
    except IclError as error:
        return Exhibit(row, one, (), bars, texts, error=join_lines(error), slots=slots)
    return Exhibit(row, one, bound_pieces(shown, PROMPT_CHARS), bars, texts, same, slots=slots)


def _error(row: Row, one: ScoredAnswer) -> Exhibit:
    """Prepare a wrong answer with its query only."""
    bars, texts = _said(row, one, 3)
    slots = draw_record_slots(row.condition, one.record)
    try:
        query = row.condition.template().prompt(one.example, []).query
    except IclError as error:
        return Exhibit(row, one, (), bars, texts, error=join_lines(error), slots=slots)
    pieces = bound_pieces([PromptPiece("query", query)], TEXT_CHARS)
    return Exhibit(row, one, pieces, bars, texts, slots=slots)


def _said(row: Row, one: ScoredAnswer, most: int) -> tuple[list[Bar], list[str]]:
    """Return bars of the likeliest choices and the right one, or the generated texts."""
    record, targets = one.record, row.condition.right_labels(one.example)
    if not record.logprobs:
        return [], [shorten_middle(output.text, TEXT_CHARS) for output in record.outputs[:3]]
    choices, shares = row.condition.choices(record), label_shares(record.logprobs)
    order = sorted(range(len(choices)), key=lambda place: -shares[place])
    kept = [*order[:most], *(p for p in order[most:] if choices[p].label in targets)][: most + 3]
    return [
        Bar(
            _label(choices[place].label, choices[place].text, bool(record.choices)),
            100 * shares[place],
            choices[place].label in targets,
        )
        for place in kept
    ], []


def _label(label: str, text: str, own: bool) -> str:
    """Return a choice's label, with its text if each row has its own choices."""
    return shorten_middle(f"{label}  {text.strip()}" if own and label not in text else label, 120)
