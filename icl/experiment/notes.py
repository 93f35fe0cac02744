"""Notes about conditions for the reader before they run, one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from icl.core.types import JSON
from icl.engines.hf.weights.widths import is_quantized
from icl.experiment.condition import Condition

__all__ = ["RANKED_BY", "note_pool", "note_compared_widths"]


RANKED_BY = {
    "first_token": "choices are ranked by the first token's log-probability alone, since the "
    "server echoes no prompts",
    "generate": "choices are generated and parsed, since the server's log-probabilities cannot "
    "distinguish them",
}


def note_pool(condition: Condition) -> Iterator[str]:
    """Yield notes on a condition's rows: rows left out, translations, too few rows."""
    point, task = condition.point, condition.point.task.task
    if condition.untaught:
        yield (
            f"{task}: the part after ||| in {condition.template.name} cannot be rendered for "
            f"{condition.untaught} test rows, whose gold is the raw answer of the data"
        )
    across = point.pool_locale != point.locale
    if condition.left_out:
        how = ", by content or, being translations, by id" if across else ""
        yield (f"{task}: {condition.left_out} pool rows are also test rows{how} and are left out")
    if condition.selector is None:
        return
    asked = {example.id for example in condition.examples}
    known = sum(example.id in asked for example in condition.pool)
    if across and known and condition.selector.parallel:
        yield (
            f"{task}: {known} rows of the {point.pool_locale} pool are translations of test rows, "
            "and may be their shots (pool.parallel is allow)"
        )
    k, there = point.shots.k or 0, len(condition.selector.pool)
    if k > there:
        yield f"{task}: {k} shots were requested, {there} are available"


def note_compared_widths(conditions: Sequence[Condition]) -> Iterator[str]:
    """Yield a warning for each model compared in several widths although already quantized."""
    widths: dict[tuple[str, JSON, JSON], list[JSON]] = {}
    for condition in conditions:
        engine = condition.engine.identity()
        if is_quantized(engine.get("precision")):
            key = condition.point.model_name, engine.get("weights"), engine["precision"]
            widths.setdefault(key, []).append(engine.get("width"))
    for (name, _, precision), found in widths.items():
        several = ", ".join(str(width) for width in dict.fromkeys(found))
        if "," in several:
            yield (
                f"{name}: its source is {precision} already, so {several} compare a second "
                "rounding, not widths of the model itself"
            )
