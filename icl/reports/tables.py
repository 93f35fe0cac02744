"""Tables of a run for the terminal, and one record with all its details."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TYPE_CHECKING

from icl.core.number_text import format_interval, format_number
from icl.core.probabilities import label_shares
from icl.core.registry import names
from icl.core.score_name import ScoreName, own_scores
from icl.core.types import Choice, Record, Score, ScoreKind
from icl.engines.hf.weights.proof import describe_proof
from icl.engines.ledger import sum_traffic
from icl.experiment.settings import join_axes
from icl.metrics import find_label
from icl.records.results import ConditionResult, Run, find_telling_axes
from icl.reports.axis_columns import (
    Column,
    FittedTable,
    find_table_axes,
    make_axis_column,
    make_number_column,
)
from icl.reports.calibration import make_calibration_tables
from icl.reports.comparison import make_spread_tables, render_plain
from icl.reports.margins import describe_task, make_margin_column, note_margins
from icl.reports.notes import (
    FALLBACK,
    count_rows,
    define_terms,
    name_settings,
    note_fallbacks,
    note_gold,
    note_shots,
    note_unscored,
)
from icl.reports.shot_plot import ShotPlot
from icl.reports.slot_tables import make_slot_tables
from icl.scoring.against import Margins, measure_margins
from icl.scoring.checks import checks, summarize_findings
from icl.tasks.baselines import describe_ties

__all__ = [
    "FACTS",
    "all_scores",
    "baselines_of",
    "render_record",
    "title_metric",
    "list_scores",
    "note_ties",
    "render",
    "format_count",
    "show",
    "make_tables",
]


if TYPE_CHECKING:
    from rich.console import Console, RenderableType

RANKINGS = {
    "echo": "log-probabilities of all their tokens",
    "first_token": "log-probability of their first token alone",
    "generate": "text, parsed",
}
COST, SPARE = ("s", "tokens"), ("chance", "majority")
"""Columns that a narrow table leaves out, the first one first; then those in :data:`LESS`."""
LESS = ("count", "baseline", "metric", "margin")
"""Kinds of columns that it leaves out next, of each kind the last one first."""
MOST_CHECKS = 3
"""Most checks below a table without details."""
FACTS = {
    "over_length": "over %",
    "unparsed": "unp. %",
    "empty": "empty %",
    "unended": "unended %",
    "broken": "broken %",
    "unknown": "unknown %",
    "altered": "altered %",
    "invented": "invented %",
    "filtered": "filtered %",
    "refused": "refused %",
    "shortened": "cut %",
    "tied": "tied %",
    "agreement": "agree %",
}


def format_count(value: float) -> str:
    """Format a count as ``950``, ``12.3k``, ``4.5M``."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f}{unit}"
    return f"{value:.0f}"


def title_metric(name: str, scores: Iterable[Score] = ()) -> str:
    """Return the short column title of a metric, ``name@parser`` included.

    ``scores`` are those of the column: some options change the title of a metric.
    """
    read = ScoreName.of(name, "model")
    if read.calibrator and not read.way:
        return name
    settings = [score.settings for score in scores if score.name == name]
    known = read.metric in names("metric")
    made = find_label(read.metric, settings) if known else read.metric
    way = "+".join(filter(None, [read.way, read.calibrator]))
    return made + (f" ({way})" if way else "")


def all_scores(rows: Sequence[ConditionResult]) -> list[Score]:
    """List the scores of all conditions."""
    return [score for row in rows for score in row.scores]


def _fact_title(name: str) -> str:
    """Return the short column title of a count; ``name@parser`` is accepted."""
    read = ScoreName.of(name, "count")
    return FACTS.get(read.metric, read.metric) + (f" ({read.way})" if read.way else "")


def make_tables(run: Run, details: bool = True) -> Iterator[RenderableType]:
    """Make a sentence and a table for each task, with the most serious checks; then the spreads.

    ``details`` adds every check, each baseline by itself, tokens, seconds, the settings of every
    number, what is known of models and calibrators, and slots one by one.
    """
    from icl.core.safe_console import make_text

    tasks = dict.fromkeys(condition.entry.task for condition in run.conditions)
    margins = measure_margins(run.conditions)
    # With details lost shots are told by locale.
    findings = [one for one in checks(run, margins) if one.name != "lost_shots" or not details]
    for task in tasks:
        rows = [condition for condition in run.conditions if condition.entry.task == task]
        shown = find_table_axes(rows)
        fixed = [value for axis, value in rows[0].axes.items() if axis not in shown and value]
        models = _uncalibrated(rows)
        title = title_metric(models[0], all_scores(rows)) if models else ""
        if said := describe_task(rows, margins, title):
            yield make_text(said)
        yield make_text(" · ".join(fixed), style="bold")
        yield _score_table(rows, shown, margins, details)
        told = summarize_findings(rows, findings, None if details else MOST_CHECKS, run.called)
        notes = _notes(rows, margins) if details else _short_notes(rows)
        if lines := [*notes, *told]:
            yield make_text("\n".join(lines), style="dim")
        yield make_text("")
        yield ShotPlot(rows, title)
        telling = {*find_telling_axes(rows), "shots"}
        axes = [axis for axis in shown if axis in telling]
        yield from make_calibration_tables(rows, axes, details)
        if details:
            yield from make_slot_tables(rows)
    yield from make_spread_tables(run, details)
    yield make_text(define_terms(run.conditions), style="dim")
    if not details:
        more = f"settings of every number, tokens, models: icl show {run.called} --details"
        yield make_text(more, style="dim")


def list_scores(rows: Sequence[ConditionResult], kind: ScoreKind) -> list[str]:
    """List the names of the scores of a kind (``model``, ``baseline``, ``count``), in order."""
    return list(dict.fromkeys(s.name for row in rows for s in row.scores if s.kind == kind))


def baselines_of(rows: Sequence[ConditionResult], name: str) -> dict[str, str]:
    """Return score name -> role of the baselines by the metric of a model's score."""
    wanted = ScoreName.of(name, "model").metric
    found = {one: ScoreName.of(one, "baseline") for one in list_scores(rows, "baseline")}
    return {one: read.role for one, read in found.items() if read.metric == wanted}


def _uncalibrated(rows: Sequence[ConditionResult]) -> list[str]:
    """List the names of the model's uncalibrated scores; calibrated ones have another table."""
    return list(dict.fromkeys(one.name for row in rows for one in own_scores(row.scores)))


def _score_table(
    rows: Sequence[ConditionResult],
    varying: Sequence[str],
    margins: Margins,
    details: bool,
) -> FittedTable:
    """Tabulate the conditions; each baseline, tokens and seconds are details."""
    columns = list(_columns(rows, varying, margins, details))
    telling = {*find_telling_axes(rows), "shots"}
    return FittedTable(columns, _spare(columns, telling))


def _spare(columns: Sequence[Column], telling: Set[str]) -> list[Column]:
    """List the columns that a table can drop, the least needed first.

    The columns of a run's cost come first, then the axes that are not among ``telling``.
    """
    found = [one for title in COST for one in columns if one.title == title]
    found += [one for one in reversed(columns) if one.axis and one.axis not in telling]
    found += [one for title in SPARE for one in columns if one.title == title]
    kinds = [one for kind in LESS for one in reversed(columns) if one.kind == kind]
    return found + [one for one in kinds if one not in found]


def _columns(
    rows: Sequence[ConditionResult], varying: Sequence[str], margins: Margins, details: bool
) -> Iterator[Column]:
    for axis in varying:
        yield make_axis_column(axis, [row.axes.get(axis, "") for row in rows])
    models = _uncalibrated(rows)
    primary = models[0] if models else ""
    found = [{score.name: score for score in row.scores} for row in rows]
    for name in models:
        cells = [format_number(_value(f.get(name))) for f in found]
        title = title_metric(name, all_scores(rows))
        yield make_number_column(title, cells, "" if name == primary else "metric")
        if name == primary:
            cells = [format_interval(f.get(name)) for f in found]
            yield make_number_column("95 % int.", cells, justify="left")
            against = [margins.under(row, name) for row in rows]
            if any(against):
                yield make_margin_column(against)
    for name, role in baselines_of(rows, primary).items() if details else ():
        cells = [format_number(_value(f.get(name))) for f in found]
        yield make_number_column(role, cells, "baseline", "cyan")
    facts = [
        name
        for name in list_scores(rows, "count")
        if any(f[name].value for f in found if name in f)
    ]
    for name in facts:
        cells = [format_number(_value(f.get(name))) for f in found]
        yield make_number_column(_fact_title(name), cells, "count")
    if any(row.entry.fallbacks for row in rows):
        yield make_number_column(FALLBACK, [str(len(row.entry.fallbacks)) for row in rows])
    yield make_number_column("n", [count_rows(row, whole=False) for row in rows])
    if details:
        yield make_number_column("tokens", [format_count(row.tokens) for row in rows])
        yield make_number_column("s", [f"{row.seconds:.0f}" for row in rows])


def _value(score: Score | None) -> float | None:
    return score.value if score else None


def _short_notes(rows: Sequence[ConditionResult]) -> Iterator[str]:
    """Yield the notes on the rows behind the numbers that every reader needs."""
    yield from note_gold(rows)
    for row in rows:
        yield from (f"{row.axes['shots']}: {note}" for note in note_unscored(row))
        if row.n_missing:
            yield f"{row.axes['shots']}: {len(row.records)} of {len(row.ids)} rows so far"


def _notes(rows: Sequence[ConditionResult], margins: Margins) -> Iterator[str]:
    """Yield the settings of every number in a table, and notes for the reader."""
    for name in _uncalibrated(rows):
        known = {s.signature: s for row in rows for s in row.scores if s.name == name}
        whose = name_settings(rows, name)
        for _, one in sorted(known.items()):
            yield f"{title_metric(name, [one])}: {one.settings}{whose[one.settings]}"
            yield f"  interval: {one.interval}"
    first = _uncalibrated(rows)[:1]
    yield from note_margins([margins.under(row, name) for row in rows for name in first])
    yield from note_ties(rows)
    shares = [100 * row.set_rule.above for row in rows if row.set_rule and row.set_rule.above]
    if shares:
        few, many = (f"{pick(shares):.1f} %" for pick in (min, max))
        span = few if few == many else f"{few} to {many}"
        yield f"labels are taken above {span} of the probability of all labels"
    ended = {
        choice.label: choice.end for row in rows for choice in row.store.choices() if choice.end
    }
    if ended:
        shown = ", ".join(list(ended)[:3]) + (", …" if len(ended) > 3 else "")
        yield f"scored to their end {next(iter(ended.values()))!r}: {shown}"
    yield from dict.fromkeys(
        f"{row.entry.axes['model']}: {describe_proof(row.model)}" for row in rows if row.model
    )
    yield from _note_shared_tokens(rows)
    yield from note_shots(rows)
    yield from note_gold(rows)
    yield from note_fallbacks(rows)
    shortened = [
        record.shortened for row in rows for record in row.records.values() if record.shortened
    ]
    if shortened:
        left = 100 * sum(kept for kept, _ in shortened) / sum(whole for _, whole in shortened)
        yield (
            f"{len(shortened)} prompts lost the end of their marked span to fit the window; "
            f"{left:.0f} % of it is left"
        )
    ways = list({row.entry.ranking for row in rows})
    if len(ways) == 1 and ways[0]:
        yield f"choices ranked by the server's {RANKINGS[ways[0]]}"
    for row in rows:
        yield from _traffic_notes(row, told=len(ways) == 1)
        yield from (f"{row.axes['shots']}: {note}" for note in note_unscored(row))
        if row.n_missing:
            yield f"{row.axes['shots']}: {len(row.records)} of {len(row.ids)} rows so far"


def note_ties(rows: Sequence[ConditionResult]) -> list[str]:
    """Describe the ties behind the baselines in a table of conditions, one line each."""
    models = _uncalibrated(rows)
    shown = baselines_of(rows, models[0]) if models else {}
    return describe_ties(one for row in rows for one in row.scores if one.name in shown)


def _note_shared_tokens(rows: Sequence[ConditionResult]) -> Iterator[str]:
    """Yield how much computation several prompts shared, if the engine counted it."""
    timings = [row.store.timing() for row in rows]
    forwarded = round(sum(timing.get("forwarded", 0) for timing in timings))
    asked = round(sum(t.get("tokens", 0) for t in timings if t.get("forwarded")))
    if forwarded and asked > forwarded:
        times = asked / forwarded
        yield f"{forwarded:,} tokens computed for {asked:,} requested: {times:.1f} times shared"


def _traffic_notes(row: ConditionResult, told: bool) -> Iterator[str]:
    """Yield how a server ranked, unless ``told`` once for all; its speed, price and model."""
    ranking = row.entry.ranking
    if ranking and not told:
        yield f"{row.axes['shots']}: choices ranked by the server's {RANKINGS[ranking]}"
    sums = sum_traffic(row.store.folder)
    if not sums.requests:
        return
    cost = "" if sums.cost is None else f", cost {sums.cost:.4g}"
    retried = f", {sums.retries} tried again" if sums.retries else ""
    times = [f"{sums.latency_ms(share) / 1000:.2g}" for share in (0.5, 0.95)]
    yield (
        f"{row.axes['shots']}: {sums.requests} requests{retried}, half within {times[0]} s, "
        f"95 % within {times[1]} s{cost}"
    )
    versions = ", ".join(sums.models)
    several = "SEVERAL VERSIONS of the model answered:" if len(sums.models) > 1 else "answered by"
    if versions:
        yield f"  {several} {versions}"


def render(run: Run, width: int = 80, details: bool = True) -> str:
    """Write the tables as plain text of at most ``width`` columns; see :func:`make_tables`."""
    return render_plain(make_tables(run, details), width)


def show(run: Run, console: Console, details: bool = True) -> None:
    """Print the tables; see :func:`make_tables`."""
    for part in make_tables(run, details):
        console.print(part)


def render_record(condition: ConditionResult, record: Record) -> str:
    """Write one record with all its details as plain text.

    The prompt is rendered again from the condition folder, and compared with the hash of what
    was sent.
    """
    choices = condition.choices(record)
    example, raw = condition.gold_example(record), condition.example(record)
    scored = condition.scored(record)
    again = condition.hash_again(record)
    same = "the same as was sent" if again == record.request else "NOT what was sent"
    prediction = condition.predict(record)
    right = " (right)" if prediction.value in example.targets else ""
    axes = join_axes(condition.axes, " · ")
    targets = [condition.show_answer(example, target) for target in example.targets]
    said = prediction.value
    answer = "–" if said is None else condition.show_answer(example, said)
    lines = [
        f"condition  {record.condition}  {axes}",
        f"example    {record.id}",
        f"target     {' | '.join(targets) or '–'}",
        f"answer     {answer}{right}",
    ]
    if faults := [f"{count} {name}" for name, count in prediction.faults.items() if count]:
        lines.append(f"faults     {', '.join(faults)}")
    if example.targets != raw.targets:
        lines.insert(3, f"of the row {' | '.join(raw.targets)}")
    if condition.model:
        lines.append(f"model      {describe_proof(condition.model)}")
    if record.id in condition.unscored:
        lines.append(f"{prediction.error}; the next icl run tries it again".replace(": ", "   ", 1))
    elif prediction.error:
        lines.append(f"unparsed   {prediction.error}")
    for place, (name, label, score) in enumerate(record.shots, 1):
        found = f"  score {score:.3f}" if score is not None else ""
        lines.append(f"shot {place:<6}{name}  {label or ''}{found}")
    if record.dropped:
        lines.append(f"dropped    {', '.join(record.dropped)} (did not fit the window)")
    if record.shortened:
        kept_chars, whole = record.shortened
        lines.append(f"shortened  {kept_chars} of {whole} characters of the marked span were sent")
    if prediction.samples > 1:
        tied = ", tied with another" if prediction.tied else ""
        lines.append(f"votes      {prediction.votes} of {prediction.samples} samples{tied}")
    prompts = condition.prompts(record)
    answered = next((i for i, c in enumerate(choices) if c.label == prediction.value), 0)
    sent = condition.sent(prompts[answered if scored is not None else 0])
    head = "prompt" if scored is None else f"prompt that gives {choices[answered].label}"
    lines += [
        f"request    {record.request[:16]}, rendered again: {same}",
        f"tokens     {record.prompt_tokens} in the prompt",
        "",
        f"── {head} ".ljust(70, "─"),
        sent,
    ]
    if scored is not None:
        lines += [
            "── scored after this prompt, and after those of the other labels ".ljust(70, "─"),
            scored,
        ]
    if record.logprobs:
        lines += [
            "── choices " + "─" * 59,
            *_bars(record, choices, condition.right_labels(example)),
        ]
    each = len(prompts) > 1 and bool(record.outputs)
    for place, output in enumerate(record.outputs):
        if each:
            lines += [f"── asked about {choices[place].text} ".ljust(70, "─")]
            lines.append(prompts[place].query)
        if output.reasoning is not None:
            lines += ["── reasoning " + "─" * 57, output.reasoning]
        lines += [f"── output ({output.finish}, {output.output_tokens} tokens) " + "─" * 36]
        lines.append(output.text)
    return "\n".join(lines)


def _bars(
    record: Record, choices: Sequence[Choice], targets: Sequence[str], top: int = 10
) -> Iterator[str]:
    """Yield the most probable choices with their share of the probability; targets are marked."""
    logprobs, shares = record.logprobs, label_shares(record.logprobs)
    order = sorted(range(len(choices)), key=lambda i: -logprobs[i])
    marked = [i for i in order[top:] if choices[i].label in targets]
    for place in [*order[:top], *marked]:
        sign = "✓" if choices[place].label in targets else " "
        bar = "█" * round(20 * shares[place])
        label = choices[place].label
        if record.choices and label not in choices[place].text:
            label = f"{label}  {choices[place].text.strip()}"
        yield f"{sign} {label:<28.28} {logprobs[place]:9.3f} {100 * shares[place]:5.1f} % {bar}"
