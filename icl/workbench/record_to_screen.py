"""A record of a run opened in the playground: its template, row and shots as a screen."""

from __future__ import annotations

import json
from dataclasses import replace

from icl.core.errors import DataError, IclError, join_lines
from icl.core.kinds import Kind
from icl.core.registry import names
from icl.core.types import JSON, Prompt
from icl.engines.table import UncountedEngine
from icl.workbench.browse_runs import OpenCondition
from icl.workbench.row_sources import RowSource
from icl.workbench.screen import Screen, ShotEdits
from icl.workbench.template_files import fields_of, stand_in, template_choices
from icl.workbench.workbench import Workbench

__all__ = ["screen_of_record"]


def screen_of_record(work: Workbench, opened: OpenCondition, key: str) -> tuple[Screen, str]:
    """Make a screen of a record, and a sentence on whether its prompt is the same.

    The screen shows the record's row if the playground has its data; otherwise the row is typed
    into
    the form. It pins the record's shots, or selects new ones if their pool is not available.

    Raises:
        StoreError: there is no such record, or its folder is corrupt.
        DataError: the playground has no data of that kind.
    """
    condition, record = opened.condition, opened.condition.record(key)
    screen = _shots(_row(work, opened, key), opened, key)
    sent = condition.prompt(record)
    try:
        made = _prompt(work, screen)
    except IclError:
        screen = replace(screen, hand=ShotEdits())  # the pool of the run is not here
        try:
            made = _prompt(work, screen)
        except IclError as error:
            return screen, f"opened, but its prompt cannot be rendered here: {join_lines(error)}"
    if made.text == sent.text:
        return screen, "opened in the playground: the prompt is the same, byte for byte"
    return screen, (
        "opened in the playground, but the prompt is NOT the same: it has other shots, words or "
        "labels there"
    )


def _prompt(work: Workbench, screen: Screen) -> Prompt:
    """Render the prompt of a screen without dropping shots to fit the window."""
    seen = work.bind(screen)
    asked = replace(seen.condition, engine=UncountedEngine(window=10**9))
    return asked.request(seen.example).prompt


def _row(work: Workbench, opened: OpenCondition, key: str) -> Screen:
    """Make a screen of the record's template and row, without shots."""
    condition = opened.condition
    kept, example = condition.store.condition(), opened.answers[key].example
    template, rows = kept.template, kept.identity.rows
    kind = condition.task.kind
    source, known = _source(work, rows.data, kind)
    name = template.name
    if name not in template_choices(work.base):
        name = stand_in(kind)  # the text is the run's own
    words = "en" if template.language == "en" else "row"
    entry = condition.axes.get("model", "")
    screen = Screen(
        name,
        template.text,
        source.name,
        locale=rows.locale or next(iter(source.locales), None),
        source=rows.pair[0] if rows.pair else None,
        target=rows.pair[1] if rows.pair else None,
        words=words,
        k=0,
        model=entry if entry in work.models else next(iter(work.models)),
        max_tokens=64 if kept.max_tokens is None else kept.max_tokens,
    )
    if known:
        for number, row in enumerate(work.rows(screen), 1):
            shared = {name: v for name, v in example.fields.items() if name in row.fields}
            same = replace(example, fields=shared).content == row.content  # without what was added
            if row.id == example.id and same:
                return replace(screen, row=number)
    fields = fields_of(work.template(screen).file)
    typed = condition.example(condition.record(key))  # the answer of the row, not the prompt's
    own = {field: _typed_text(example.fields.get(field, "")) for field in fields}
    return replace(screen, own=own, answer=next(iter(typed.targets), ""))


def _source(work: Workbench, data: str, kind: Kind) -> tuple[RowSource, bool]:
    """Return the source of a data set and True, else the first source of that kind and False."""
    fitting = [source for source in work.sources.values() if source.kind == kind]
    for source in fitting:
        if source.task["rows"]["data"] == data:
            return source, True
    if not fitting:
        raise DataError(
            f"the playground has no data to {kind.name}; start it with the experiment: icl app FILE"
        )
    return fitting[0], False


def _shots(screen: Screen, opened: OpenCondition, key: str) -> Screen:
    """Pin the record's shots on the screen, and set the selector and seed that chose them."""
    shots = tuple(name for name, _, _ in opened.answers[key].record.shots)
    settings = opened.condition.entry.settings or {}
    select = settings.get("select", "")
    seed = settings.get("seed", "0")
    return replace(
        screen,
        k=len(shots),
        hand=ShotEdits(pinned=shots, order=shots),
        select=select if select in names("selector") and select != "fixed" else "random",
        seed=int(seed) if seed.isdecimal() and len(seed) < 20 else 0,
    )


def _typed_text(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
