"""Tables as Markdown and CSV, and everything about a run as JSON.

Text from data, templates and models comes from strangers: it must not become markup, a formula or a
control sequence. CSV is for programs and changes nothing; ``excel`` is for spreadsheets, which
would
run a cell that begins like a formula.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from icl.core.safe_text import clean
from icl.core.score_name import ScoreName, primary
from icl.core.types import JSON, Score
from icl.records.frames import write_score_cells
from icl.records.results import ConditionResult, Run
from icl.reports.appendix import Appendix
from icl.reports.grid import Grid
from icl.reports.locale_tables import list_slice_rows
from icl.reports.margins import list_margin
from icl.reports.pivot import Pivot
from icl.scoring.against import Margins, measure_margins
from icl.scoring.checks import checks
from icl.scoring.locale_slices import LocaleSlices

__all__ = ["as_csv", "as_json", "as_markdown", "fence_text", "escape_markdown"]


_SPECIAL = re.compile(
    r"[\\`*|~$&]"
    r"|<(?=[A-Za-z/!?])|\](?=[(\[:])|\[(?=[\^ xX])"  # tags, links and references, footnotes, tasks
    r"|(?<![^\W_])_|_(?![^\W_])"  # one inside a word is no emphasis
)
_LINE_START = re.compile(r"^(\d+)(?=[.)](?:\s|$))|^(?=[-+=>#])")
"""The start of a list, a heading, a quotation, or the line below a heading."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Characters with which a cell of a spreadsheet must not begin (OWASP, CSV injection)."""


def escape_markdown(text: str) -> str:
    r"""Escape a text as one line in which nothing is markup, HTML included.

    >>> escape_markdown("a_b *x* <b>|")
    'a_b \\*x\\* \\<b>\\|'
    """
    line = " ".join(clean(text).split())
    line = _SPECIAL.sub(lambda found: "\\" + found.group(), line)
    return _LINE_START.sub(lambda found: found.group() + "\\", line)


def fence_text(text: str, language: str = "text") -> str:
    """Write text as a code block that no line of the text can end."""
    shown = clean(text)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{shown.removesuffix(chr(10))}\n{fence}"


def as_markdown(grids: Sequence[Grid], appendix: Appendix | None = None) -> str:
    """Write tables in GitHub's Markdown, with aligned columns in the source, too."""
    parts = [part for grid in grids for part in _markdown_grid(grid)]
    if appendix is not None:
        parts += _markdown_appendix(appendix)
    return "\n\n".join(parts) + "\n"


def _markdown_grid(grid: Grid) -> Iterator[str]:
    yield f"## {escape_markdown(grid.title)}"
    lines = [[escape_markdown(head) for head in grid.heads]]
    for row in grid.rows:
        cells = [escape_markdown(cell.text) for cell in row]
        lines.append(
            [f"**{text}**" if cell.bold else text for text, cell in zip(cells, row, strict=True)]
        )
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = [
        ("-" * (width - 1) + ":") if side == "r" else "-" * width
        for side, width in zip(grid.align, widths, strict=True)
    ]
    yield "\n".join(
        "| "
        + " | ".join(
            _padded(text, width, side)
            for text, width, side in zip(line, widths, grid.align, strict=True)
        )
        + " |"
        for line in [lines[0], rule, *lines[1:]]
    )
    if grid.notes:
        yield "\n".join(f"- {escape_markdown(note)}" for note in grid.notes)
    if grid.warnings:
        yield "\n".join(f"> {escape_markdown(line)}  " for line in grid.warnings)


def _padded(text: str, width: int, side: str) -> str:
    return text.rjust(width) if side == "r" else text.ljust(width)


def _markdown_appendix(made: Appendix) -> Iterator[str]:
    yield "## Templates"
    for source in made.templates:
        yield f"### {escape_markdown(source.name)} ({escape_markdown(source.language)})"
        yield fence_text(source.text, "jinja")
    yield "## Prompts"
    for shown in made.prompts:
        yield f"### {escape_markdown(shown.title)}, row {escape_markdown(shown.example)}"
        yield fence_text(shown.text)
        yield "Right: " + " / ".join(escape_markdown(target) for target in shown.targets)
    yield "## Data"
    for name, text in made.citations:
        yield f"### {escape_markdown(name)}"
        yield fence_text(text, "bibtex")
    if not made.citations:
        yield "No citation is known; give the data `cite:` in the experiment file."


def _score_rows(run: Run, metric: str | None) -> Iterator[dict[str, JSON]]:
    """Yield one row per score: the run, the condition's settings, then the number's details.

    The row of a condition's first score, or of ``metric``, has its difference to the strongest
    baseline.
    """
    strongest = measure_margins(run.conditions, metric).strongest
    scores = [(condition, one) for condition in run.conditions for one in condition.scores]
    for row, (condition, score) in zip(run.score_rows(), scores, strict=True):
        if metric is not None and not _shown_with(score, metric):
            continue
        first = primary(condition.scores)
        name = metric or (first.name if first else "")
        margin = strongest.get(condition.entry.fingerprint)
        made = list_margin(margin) if (score.name, score.kind) == (name, "model") else {}
        yield {**_without_tied(row, score), **made}


def _shown_with(score: Score, metric: str) -> bool:
    """Return whether a score is the requested one, or a baseline by its metric."""
    name = ScoreName.of_score(score)
    same = name.metric == ScoreName.of(metric, "model").metric
    return score.name == metric or bool(name.role) and same


def _score(score: Score) -> dict[str, JSON]:
    return _without_tied(write_score_cells(score), score)


def _without_tied(row: dict[str, JSON], score: Score) -> dict[str, JSON]:
    """Leave out the number of tied labels if nothing is tied, for the columns of such runs."""
    return row if score.tied else {name: cell for name, cell in row.items() if name != "tied"}


def _pivot_rows(made: Pivot) -> Iterator[dict[str, JSON]]:
    for one in made.places:
        single = one.scores[0] if len(one.scores) == 1 else None
        yield {
            "run": made.run,
            "task": made.task,
            "score": made.metric,
            made.rows: one.row,
            **({made.cols: one.col} if made.cols else {}),
            "value": one.value,
            "low": single.low if single else None,
            "high": single.high if single else None,
            "sd": one.sd,
            "conditions": len(one.scores),
            "over": " ".join(made.over),
            "n": min(score.n for score in one.scores),
            "best": one.best,
            "p_holm": one.p,
        }


def as_csv(
    run: Run,
    pivots: Sequence[Pivot] = (),
    metric: str | None = None,
    excel: bool = False,
    slice_groups: Sequence[LocaleSlices] = (),
) -> str:
    """Write one row per score, or per cell of the pivots or slices, unrounded.

    ``excel`` puts an apostrophe before text that a spreadsheet would run as a formula, and begins
    with a byte order mark, without which Excel does not recognize UTF-8.
    """
    found = [row for one in pivots for row in _pivot_rows(one)]
    found += [row for one in slice_groups for row in list_slice_rows(run.name, one)]
    found = found or list(_score_rows(run, metric))
    heads = _heads(run, found)
    lines: list[list[Any]] = [
        heads,
        *(["" if row.get(h) is None else row[h] for h in heads] for row in found),
    ]
    out = io.StringIO()
    end = "\r\n" if excel else "\n"
    plain = csv.writer(out, lineterminator=end)
    quoted = csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL)
    for line in lines:
        values = [_harmless(value) for value in line] if excel else line
        # A lone carriage return is a line's end to readers, and is not quoted by itself.
        (quoted if any("\r" in str(value) for value in values) else plain).writerow(values)
    text = out.getvalue().encode("utf-8", "backslashreplace").decode()
    return ("\ufeff" if excel else "") + text


def _heads(run: Run, rows: Sequence[dict[str, JSON]]) -> list[str]:
    """Return the columns of all rows; settings that only some have come before the numbers."""
    heads = dict.fromkeys(head for row in rows for head in row)
    if "score" not in heads or "condition" not in heads:
        return list(heads)
    settings = [name for name in run.setting_columns if name in heads]
    front = ["run", "condition", *settings]
    return [*front, *(head for head in heads if head not in front)]


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def as_json(
    run: Run,
    pivots: Sequence[Pivot] = (),
    appendix: Appendix | None = None,
    metric: str | None = None,
    slice_groups: Sequence[LocaleSlices] = (),
) -> str:
    """Write everything about a run as JSON text: conditions, scores, checks, provenance.

    ``<`` is escaped, so that the text can be put into a page; it reads the same.
    """
    margins = measure_margins(run.conditions, metric)
    body: dict[str, Any] = {
        "run": run.name,
        "finished": run.manifest.finished,
        "conditions": [_entry(condition, metric, margins) for condition in run.conditions],
        "checks": [asdict(finding) for finding in checks(run, None if metric else margins)],
        "command": run.manifest.command,
        "versions": run.manifest.versions,
        "machine": run.manifest.machine,
        "experiment": run.manifest.experiment,
    }
    if pivots:
        body["pivots"] = [
            {
                "rows": one.rows,
                "cols": one.cols,
                "notes": one.notes,
                "places": list(_pivot_rows(one)),
            }
            for one in pivots
        ]
    if slice_groups:
        body["slices"] = [row for one in slice_groups for row in list_slice_rows(run.name, one)]
    if appendix is not None:
        body["appendix"] = asdict(appendix)
    text = json.dumps(body, ensure_ascii=False, indent=1, allow_nan=False)
    return re.sub("[<\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", _escaped, text) + "\n"


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


def _entry(condition: ConditionResult, metric: str | None, margins: Margins) -> dict[str, Any]:
    margin = list_margin(margins.strongest.get(condition.entry.fingerprint))
    scores = (s for s in condition.scores if metric is None or _shown_with(s, metric))
    return {
        "condition": condition.entry.fingerprint,
        "task": condition.entry.task,
        "settings": condition.settings,
        "rows": {
            "answered": len(condition.records),
            "asked": len(condition.ids),
            **({"unscored": len(condition.unscored)} if condition.unscored else {}),
        },
        "pool": {"n": condition.entry.pool.n, "left_out": condition.entry.pool.left_out},
        "model": condition.model,
        "tokens": condition.tokens,
        "seconds": condition.seconds,
        "scores": [_score(score) for score in scores],
        **({"over_best_baseline": margin} if margin else {}),
        "cite": condition.entry.cite,
        **({"fallbacks": condition.entry.fallbacks} if condition.entry.fallbacks else {}),
    }
