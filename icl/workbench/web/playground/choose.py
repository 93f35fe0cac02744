"""The choosers of template and data set, whose dependent inputs change in the same event."""

from __future__ import annotations

from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.workbench.row_sources import RowSource, wanted_or_first
from icl.workbench.screen import Screen, ShotEdits
from icl.workbench.template_files import keep_version, template_text
from icl.workbench.web.captions import caption, error_caption
from icl.workbench.web.form_values import UnstrippedText, values_by_part
from icl.workbench.web.playground.context import PlaygroundContext
from icl.workbench.web.playground.layout import calibrator_chooser
from icl.workbench.web.playground.save import version_choices
from icl.workbench.web.tabs import QUICK

__all__ = ["ChooserPanel", "place_choosers"]


class ChooserPanel:
    """The choosers of template and data."""

    def __init__(self, context: PlaygroundContext) -> None:
        self.context, self.work = context, context.work
        at = self.at = context.at
        self.template = [at.text, at.problem, at.file, at.version, at.saved]
        self.rows = [
            at.locale,
            at.source,
            at.target,
            at.max_tokens,
            at.calibrator,
            at.status,
            at.row,
            at.hand,
        ]
        self.data_event: dict[str, Any] = {
            "fn": self.turn_data,
            "inputs": [at.open_data, *context.inputs],
            "outputs": [at.open_data, *self.rows],
        }
        """Event that shows the inputs of the chosen data set."""

    def wire(self) -> None:
        """Wire the events of the components.

        A chooser of Gradio's says ``input`` again when it is left, changed or not: a template that
        is open is not opened again, which would lose what was typed into it.
        """
        at = self.at
        template_event: dict[str, Any] = {
            "fn": self.turn,
            "inputs": [at.open_template, at.open_data, *self.context.inputs],
            "outputs": [at.open_template, at.open_data, at.data, *self.template, *self.rows],
        }
        at.name.input(trigger_mode="always_last", **template_event, **QUICK)
        at.data.input(trigger_mode="always_last", **self.data_event, **QUICK)

    def turn(self, opened: str, turned: str, *values: Any) -> list[Any]:
        """Open another template with a data set that fits; do nothing if it is open.

        Leaving the chooser sends the event again, maybe before the page has the data set of the
        first answer. Ignore the data set it reports at that moment.
        """
        given = values_by_part(values)
        name, data, text = str(given["name"]), str(given["data"] or ""), str(given["text"])
        outputs = 3 + len(self.template) + len(self.rows)
        if name == opened:
            return [gr.skip()] * outputs
        try:
            edited = caption(self.keep(opened, text))
            text = template_text(name, "en", self.work.base)
            data = self._data_for(name, text, data)
        except IclError as error:
            made = [gr.skip()] * outputs
            made[3 + self.template.index(self.at.problem)] = error_caption(error)
            return made
        own = name.removesuffix(".j2") if name.endswith(".j2") else ""
        template = [
            UnstrippedText(text),
            gr.skip(),
            own,
            version_choices(self.work.base, name),
            edited,
        ]
        return [
            name,
            data,
            data,
            *template,
            *self._data_values(turned, {**given, "text": text}, data),
        ]

    def turn_data(self, turned: str, *values: Any) -> list[Any]:
        """Open another data set; do nothing if it is open."""
        given = values_by_part(values)
        data = str(given["data"] or "")
        return [data, *self._data_values(turned, given, data)]

    def _data_values(self, turned: str, given: dict[str, Any], data: str) -> list[Any]:
        """Return the values for a data set; none if it is open."""
        if data == turned:
            return [gr.skip()] * len(self.rows)
        return self._rows(Screen(str(given["name"]), str(given["text"]), data), given)

    def keep(self, name: str, text: str) -> str:
        """Store edits of the closed template as a version, and return a note of that."""
        try:
            if text == template_text(name, "en", self.work.base):
                return ""
        except IclError:  # it is gone from the disk: all the more
            pass
        keep_version(self.work.base, name, text)
        return f"the edited text of {name} is saved: open it again, then Undo"

    def _data_for(self, name: str, text: str, data: str) -> str:
        """Return the data set if it fits the template, else samples that do."""
        try:
            kind = self.work.sandbox.bind(text, name, "en").file.kind
        except IclError:  # an own template may be malformed; it is opened to be mended
            return data
        known = self.work.sources.get(data)
        folder = f"samples/{name.partition('/')[0]}"
        if (
            known is not None
            and known.kind == kind
            and not (data.startswith("samples/") and folder in self.work.sources)
        ):
            return data
        if folder in self.work.sources and self.work.sources[folder].kind == kind:
            return folder
        fitting = [n for n, source in self.work.sources.items() if source.kind == kind]
        return data if data in fitting or not fitting else fitting[0]

    def _rows(self, screen: Screen, given: dict[str, Any]) -> list[Any]:
        """Show the inputs of a data set and hide the others."""
        try:
            source = self.work.source(screen)
        except IclError:  # the preview tells it
            return [gr.skip()] * len(self.rows)
        return [
            *place_choosers(source, given["locale"], given["source"], given["target"]).values(),
            gr.Number(visible=source.writes),
            calibrator_chooser(source),
            caption(""),
            1,
            ShotEdits().as_json(),
        ]


def place_choosers(source: RowSource, locale: Any, one: Any, other: Any) -> dict[str, Any]:
    """Fill the choosers of locale and languages with the values of a source."""
    made = {}
    for part, values, wanted, first in (
        ("locale", source.locales, locale, "en-US"),
        ("source", source.sources, one, "eng_Latn"),
        ("target", source.targets, other, "deu_Latn"),
    ):
        value = wanted if wanted in values else wanted_or_first(values, first)
        made[part] = gr.Dropdown(list(values), value=value, visible=bool(values))
    return made
