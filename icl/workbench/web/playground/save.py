"""The saving of templates with their versions, and of the screen as an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.workbench.template_files import (
    keep_version,
    save_template,
    template_choices,
    version_text,
    versions,
)
from icl.workbench.web.form_values import UnstrippedText, error_box, screen_of, status_box
from icl.workbench.web.playground.context import PlaygroundContext
from icl.workbench.web.tabs import QUICK

__all__ = ["SavePanel", "version_choices"]


def version_choices(base: Path, name: str) -> Any:
    """List the versions of a template in a chooser."""
    found = versions(base, name)
    choices = [(f"{one.number} · {one.when:%Y-%m-%d %H:%M}", one.number) for one in found]
    return gr.Dropdown(choices, value=None)


class SavePanel:
    """The buttons below the editor and below the experiment."""

    def __init__(self, context: PlaygroundContext) -> None:
        self.context, self.work = context, context.work

    def wire(self) -> None:
        """Wire the events of the components."""
        at = self.context.at
        boxes = [at.version, at.saved]
        at.save.click(
            self.save_as, [at.file, at.text, at.name], [at.name, at.open_template, *boxes], **QUICK
        ).then(**self.context.preview_event, **QUICK)
        at.version.input(self.open_version, [at.name, at.version], [at.text, at.saved], **QUICK)
        at.undo.click(self.undo, [at.name, at.text], [at.text, *boxes], **QUICK)
        inputs = [at.export_name, *self.context.inputs]
        at.export_save.click(self.save_export, inputs, at.exported, **QUICK)

    def save_as(self, file: str, text: str, name: str) -> list[Any]:
        """Save the editor's text under the user's name for it."""
        try:
            made = save_template(self.work.base, file, text, name)
        except IclError as error:
            return [*[gr.skip()] * 3, error_box(error)]
        choices = template_choices(self.work.base)
        return [
            gr.Dropdown(choices, value=made),
            made,
            version_choices(self.work.base, made),
            status_box(f"saved {made}"),
        ]

    def open_version(self, name: str, number: int | None) -> list[Any]:
        """Open a version of the template in the editor."""
        for one in versions(self.work.base, name):
            if one.number == number:
                return [
                    UnstrippedText(version_text(one)),
                    status_box(f"version {number}; save it to keep it"),
                ]
        return [gr.skip(), gr.skip()]

    def undo(self, name: str, text: str) -> list[Any]:
        """Go back to the version before the editor's text, which is stored first."""
        try:
            keep_version(self.work.base, name, text)
            kept = versions(self.work.base, name)
        except (IclError, OSError) as error:
            return [gr.skip(), gr.skip(), error_box(error)]
        same = [place for place, one in enumerate(kept) if version_text(one) == text]
        place = same[-1] + 1 if same else 0
        if place >= len(kept):
            return [
                gr.skip(),
                version_choices(self.work.base, name),
                status_box("there is no version before this text"),
            ]
        before = f"version {kept[place].number} again; nothing is lost, see the list"
        return [
            UnstrippedText(version_text(kept[place])),
            version_choices(self.work.base, name),
            status_box(before),
        ]

    def save_export(self, name: str, *values: Any) -> Any:
        """Save the experiment and the files it needs in the working folder."""
        try:
            export = self.work.export(screen_of(self.work, values))
            path = self.work.write(export, name or "playground")
        except IclError as error:
            return error_box(error)
        more = f" with {', '.join(export.files)}" if export.files else ""
        return status_box(f"saved {path.name}{more}; now: icl run {path.name}")
