"""A run as one HTML file: no script, nothing external, every text of model or data escaped.

``page(run)`` needs the run folder alone. The look stands in the folder ``page``.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from icl.conditions import request_hash
from icl.engines.proof import described
from icl.errors import DataError, IclError, one_line
from icl.languages import language
from icl.report import label_shares, number, short_count
from icl.reports import plots
from icl.reports.answers import Answer, Confusion, answers, confusion, worst
from icl.reports.groups import Group, Row, groups, title
from icl.reports.prompt_view import Piece, bounded, pieces
from icl.reports.strips import Scale, Strip, scale
from icl.reports.summary import BASELINES, interval, sentences
from icl.reports.text import clean, html_language, marks, short
from icl.results import Run, predict
from icl.types import canonical

__all__ = ["page"]

ROWS, PROMPTS, ERRORS, LOCALES, FIGURES = 200, 24, 10, 80, 12
"""Most conditions in a table, prompts on the page, errors of a task, locales, figures of a task."""
PROMPT_CHARS, TEXT_CHARS, FILE_CHARS = 8_000, 1_000, 20_000
"""Most characters of a prompt, of an answer or a field, and of the experiment file."""
GROUPS = 20
"""Most tasks on the page."""
FACTS = {
    "over_length": "cut at max_tokens",
    "unparsed": "no answer",
    "unended": "reasoning unended",
    "shortened": "prompt shortened",
}


@dataclass(frozen=True)
class Bar:
    """A choice and its share of the probability of all."""

    label: str
    percent: float
    right: bool


@dataclass(frozen=True)
class Exhibit:
    """One record with what was asked."""

    row: Row
    answer: Answer
    pieces: Sequence[Piece]
    bars: Sequence[Bar]
    texts: Sequence[str]
    """What was written, where text was."""
    same: bool = True
    """Whether the prompt rendered again is the one that was sent."""
    error: str = ""
    """Why the prompt cannot be shown."""


@dataclass(frozen=True)
class Place:
    """A locale with its score."""

    name: str
    row: Row
    strip: Strip | None


@dataclass(frozen=True)
class Section:
    """What the page shows of one group of conditions."""

    anchor: str
    group: Group
    words: Sequence[str]
    scale: Scale
    answers: Sequence[Answer]
    """Those of the best condition."""
    figures: Sequence[tuple[str, plots.Panel]]
    """SVG, empty where it cannot be drawn, and what it shows."""
    locales: Sequence[tuple[str, Scale, Sequence[Place], int]]
    """(other settings, scale, places, locales left out)."""
    prompts: Sequence[Exhibit]
    errors: Sequence[Exhibit]
    wrong: int
    """Wrong answers of the best condition, those not shown included."""
    confusion: Confusion | None

    @property
    def shown(self) -> Sequence[Row]:
        """Conditions that the table lists."""
        return self.group.rows[:ROWS]

    @property
    def prompts_left(self) -> int:
        """Conditions with records whose prompt is not shown."""
        there = sum(bool(row.condition.records) for row in self.group.rows)
        return there - len(self.prompts)

    @property
    def answered(self) -> int:
        """Answers of the best condition."""
        return len(self.answers)

    @property
    def ranked(self) -> bool:
        """Whether the best condition's answers have a confidence."""
        return any(one.confidence is not None for one in self.answers)

    @property
    def primary(self) -> str:
        """What the score of the table's first column is called."""
        best = self.group.best
        return title(best.primary.name) if best and best.primary else "score"

    @property
    def baselines(self) -> list[str]:
        """Baselines under the first metric."""
        found = [s.name.partition("/")[0] for row in self.group.rows for s in row.baselines()]
        return list(dict.fromkeys(found))

    @property
    def ticked(self) -> bool:
        """Whether the strips have marks of baselines."""
        return bool(self.baselines)

    @property
    def others(self) -> list[str]:
        """Scores beside the first one and its calibrated forms."""
        first = {row.primary.name for row in self.group.rows if row.primary}
        names = self.group.names("model")
        return [name for name in names if name not in first and "+" not in name]

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Counts that are not 0 everywhere, and what they are called."""
        found = {s.name for row in self.group.rows for s in row.of_kind("count") if s.value}
        return [(name, FACTS.get(name, name)) for name in self.group.names("count")
                if name in found]  # fmt: skip

    @property
    def notes(self) -> list[tuple[str, str]]:
        """Signatures of the scores shown."""
        made: dict[tuple[str, str], None] = {}
        for row in self.group.rows:
            for one in row.of_kind("model"):
                made[title(one.name), one.signature] = None
        return list(made)

    def lang(self, one: Exhibit) -> str:
        """Language of an answer: what is translated into, else the locale of the row."""
        meta = one.answer.example.meta
        return html_language(meta.get("target")) if self._free else ""

    def source_lang(self, one: Exhibit) -> str:
        """Language of a query's data."""
        meta = one.answer.example.meta
        return html_language(meta.get("source") or meta.get("locale"))

    @property
    def _free(self) -> bool:
        return self.group.rows[0].condition.task.kind in ("generate", "extract")


def page(run: Run) -> str:
    """The report of a run as the text of an HTML file, from its folder alone.

    What is listed is bounded, with how much was left out, so the page stays below 3 MB.

    >>> Path("report.html").write_text(page(load_run("quickstart")))     # doctest: +SKIP

    Raises:
        StoreError: the run folder is corrupt.
    """
    found = groups(run)
    room = PROMPTS
    sections = []
    for place, group in enumerate(found[:GROUPS], 1):
        made = _section(f"task{place}", group, min(room, max(2, PROMPTS // len(found[:GROUPS]))))
        room -= len(made.prompts)
        sections.append(made)
    manifest = run.manifest
    text = (
        _environment()
        .get_template("page.html.j2")
        .render(
            run=run,
            sections=sections,
            left_out=max(0, len(found) - GROUPS),
            records=sum(len(condition.records) for condition in run.conditions),
            asked=sum(len(condition.ids) for condition in run.conditions),
            finished=bool(manifest.get("finished", True)),
            command=shlex.join(map(str, manifest.get("command", ()))),
            experiment=short(str(manifest.get("experiment", "")), FILE_CHARS),
            engines=_engines(found),
            css=(files("icl.reports") / "page" / "page.css").read_text("utf-8"),
            plots=plots.available(),
        )
    )
    return str(text)


def _environment() -> Any:
    """Jinja with escaping on, and every value made fit to be shown."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        if isinstance(value, Markup) or not isinstance(value, str):
            return "" if value is None else value
        return clean(value)

    made = Environment(
        loader=PackageLoader("icl.reports", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number, "count": short_count, "interval": interval, "title": title,
        "marks": marks, "short": lambda text, most=TEXT_CHARS: short(text, most),
        "svg": Markup,
    }  # fmt: skip
    made.globals |= {"BASELINES": BASELINES}
    return made


def _section(anchor: str, group: Group, prompts: int) -> Section:
    best = group.best
    found = answers(best.condition) if best is not None else []
    wrong, n_wrong = worst(found, ERRORS)
    kind = best.condition.task.kind if best is not None else ""
    primary = [row.primary for row in group.rows if row.primary is not None]
    plain = [score for row in group.rows for score in row.baselines()]
    return Section(
        anchor,
        group,
        list(sentences(group)),
        scale([*primary, *plain]),
        found,
        _figures(anchor, group),
        _locales(group),
        [_exhibit(row) for row in group.rows if row.condition.records][:prompts],
        [_error(best, one) for one in wrong] if best is not None else (),
        n_wrong,
        confusion(found) if kind in ("classify", "choose") else None,
    )


def _figures(anchor: str, group: Group) -> list[tuple[str, plots.Panel]]:
    panels = plots.shots_panels(group)[:FIGURES]
    if not plots.available() or group.best is None or group.best.primary is None:
        return [("", panel) for panel in panels]
    label = title(group.best.primary.name)
    return [
        (plots.shots_svg(panel, label, f"{anchor}-shots{place}"), panel)
        for place, panel in enumerate(panels)
    ]


def _locales(group: Group) -> list[tuple[str, Scale, Sequence[Place], int]]:
    """Scores by locale, for the best of the conditions that differ in anything else."""
    if "locale" not in group.varying:
        return []
    at = group.varying.index("locale")
    sets: dict[str, list[Row]] = {}
    for row in group.rows:
        rest = " · ".join(word for place, word in enumerate(row.words) if place != at and word)
        if row.primary is not None:
            sets.setdefault(rest, []).append(row)
    made: list[tuple[str, Scale, Sequence[Place], int]] = []
    for name, rows in sorted(sets.items(), key=lambda item: -_mean(item[1]))[:FIGURES]:
        if len(rows) < 2:
            continue
        line = scale([s for row in rows for s in (row.primary, *row.baselines()) if s])
        ordered = sorted(rows, key=lambda row: -_mean([row]))
        places = [
            Place(_locale(row.words[at]), row, line.strip(row.primary, row.baselines()))
            for row in ordered[:LOCALES]
        ]
        made.append((name, line, places, len(ordered[LOCALES:])))
    return made


def _mean(rows: Sequence[Row]) -> float:
    values = [row.primary.value for row in rows if row.primary is not None]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0


def _locale(tag: str) -> str:
    """``Swahili (sw-KE)``; the tag alone where it names no language."""
    try:
        names = " → ".join(language(part).name() for part in tag.split("→"))
    except DataError:
        return tag
    return f"{names} ({tag})"


def _exhibit(row: Row) -> Exhibit:
    """The first record of a condition with its whole prompt."""
    condition = row.condition
    record = next(iter(condition.records.values()))
    said = predict(record, condition.choices(record), condition.entry["parser"])
    one = Answer(condition.examples[0], record, said, None, None)
    bars, texts = _said(row, one, 5)
    try:
        prompt = condition.prompt(record)
        sent = condition.sent(prompt)
        again = request_hash(
            prompt, condition.choices(record), condition.store.condition()["sampling"], sent
        )
    except IclError as error:
        return Exhibit(row, one, (), bars, texts, error=one_line(error))
    same = again == record.request
    return Exhibit(row, one, bounded(pieces(prompt, sent), PROMPT_CHARS), bars, texts, same)


def _error(row: Row, one: Answer) -> Exhibit:
    """A wrong answer with its query alone."""
    bars, texts = _said(row, one, 3)
    try:
        query = row.condition.template().prompt(one.example, []).query
    except IclError as error:
        return Exhibit(row, one, (), bars, texts, error=one_line(error))
    return Exhibit(row, one, bounded([Piece("query", query)], TEXT_CHARS), bars, texts)


def _said(row: Row, one: Answer, most: int) -> tuple[list[Bar], list[str]]:
    """The likeliest choices and the right one, or the texts that were written."""
    record, targets = one.record, one.example.targets
    if not record.logprobs:
        return [], [short(output.text, TEXT_CHARS) for output in record.outputs[:3]]
    choices, shares = row.condition.choices(record), label_shares(record.logprobs)
    order = sorted(range(len(choices)), key=lambda place: -shares[place])
    kept = [*order[:most], *(p for p in order[most:] if choices[p].label in targets)][: most + 3]
    return [
        Bar(_label(choices[place].label, choices[place].text, bool(record.choices)),
            100 * shares[place], choices[place].label in targets)
        for place in kept
    ], []  # fmt: skip


def _label(label: str, text: str, own: bool) -> str:
    """A choice's label, with its text where each row has its own."""
    return short(f"{label}  {text.strip()}" if own and label not in text else label, 120)


def _engines(found: Sequence[Group]) -> list[tuple[str, str]]:
    """(model as the experiment calls it, what answered) of each engine of the run."""
    made: dict[str, tuple[str, str]] = {}
    for row in (row for group in found for row in group.rows if row.kept):
        identity = row.kept["identity"]["engine"]
        said = described(row.condition.model) if row.condition.model else ""
        facts = "\n".join(
            f"{key}: {short(value if isinstance(value, str) else canonical(value), 200)}"
            for key, value in identity.items()
        )
        name = str(row.condition.axes.get("model", ""))
        made.setdefault(canonical(identity), (name, f"{said}\n{facts}".strip()))
    return list(made.values())[:FIGURES]
