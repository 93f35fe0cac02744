"""The saving of templates with their versions, and of the screen as an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.core.safe_text import clean
from icl.workbench.template_files import (
    TemplateVersion,
    first_changed_line,
    keep_version,
    save_template,
    step_back,
    template_choices,
    version_text,
    versions,
)
from icl.workbench.web.captions import caption, error_caption
from icl.workbench.web.form_values import UnstrippedText, browser_text, screen_of
from icl.workbench.web.playground.context import PlaygroundContext
from icl.workbench.web.safe_html import text_html
from icl.workbench.web.tabs import QUICK
from icl.workbench.word_diff import LEFT, word_diff

__all__ = ["SavePanel", "difference_html", "version_choices"]


MOST_LISTED = 100
"""Most versions in the chooser; older ones stay on the disk."""


def difference_html(before: str, after: str) -> str:
    """Write two texts as one, what only one of them has in colour."""
    tags = {None: "span", LEFT: "del"}
    parts = [
        f"<{tags.get(side, 'ins')}>{text_html(text)}</{tags.get(side, 'ins')}>"
        for text, side in word_diff(before, after)
    ]
    return f'<pre class="difference" dir="auto">{"".join(parts)}</pre>'


def version_choices(base: Path, name: str) -> Any:
    """List the versions of a template in a chooser, by the first line that each changed."""
    found = versions(base, name)
    choices = [
        (
            browser_text(
                clean(f"{one.number} · {first_changed_line(found, n)} · {one.when:%d %b %H:%M}"),
                120,
            ),
            one.number,
        )
        for n, one in enumerate(found[:MOST_LISTED])
    ]
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
        at.version.input(
            self.compare, [at.name, at.text, at.version], [at.difference, at.saved], **QUICK
        )
        at.versions.expand(self.list_versions, at.name, at.version, **QUICK)
        at.take_back.click(
            self.open_version,
            [at.name, at.text, at.version],
            [at.text, at.opened, *boxes],
            **QUICK,
        )
        at.undo.click(
            self.undo, [at.name, at.text, at.opened], [at.text, at.opened, *boxes], **QUICK
        )
        inputs = [at.export_name, *self.context.inputs]
        at.export_save.click(self.save_export, inputs, at.exported, **QUICK)

    def save_as(self, file: str, text: str, name: str) -> list[Any]:
        """Save the editor's text under the user's name for it."""
        try:
            made = save_template(self.work.base, file, text, name)
        except IclError as error:
            return [*[gr.skip()] * 3, error_caption(error)]
        choices = template_choices(self.work.base)
        return [
            gr.Dropdown(choices, value=made),
            made,
            version_choices(self.work.base, made),
            caption(f"saved {made}"),
        ]

    def list_versions(self, name: str) -> Any:
        """List the versions anew: each run may have added one."""
        return version_choices(self.work.base, name)

    def compare(self, name: str, text: str, number: int | None) -> list[Any]:
        """Show how a version differs from the editor's text."""
        for one in versions(self.work.base, name):
            if one.number == number:
                said = f"version {number} beside the editor's text: red is gone there, green is new"
                return [difference_html(version_text(one), text), caption(said)]
        return ["", gr.skip()]

    def open_version(self, name: str, text: str, number: int | None) -> list[Any]:
        """Open a version of the template in the editor, whose text is stored as one."""
        try:
            found = [one for one in versions(self.work.base, name) if one.number == number]
            if not found:
                return [gr.skip()] * 3 + [caption("choose a version first")]
            keep_version(self.work.base, name, text)
        except (IclError, OSError) as error:
            return [gr.skip()] * 3 + [error_caption(error)]
        return self._open(name, found[0])

    def undo(self, name: str, text: str, opened: Any) -> list[Any]:
        """Go back to the version before the editor's text, which is stored first."""
        at = opened[1] if isinstance(opened, list | tuple) and opened[:1] == [name] else None
        try:
            before = step_back(self.work.base, name, text, at if isinstance(at, int) else None)
        except (IclError, OSError) as error:
            return [gr.skip()] * 3 + [error_caption(error)]
        if before is None:
            return [
                gr.skip(),
                gr.skip(),
                version_choices(self.work.base, name),
                caption("this is the first text of this template: nothing is before it"),
            ]
        return self._open(name, before)

    def _open(self, name: str, version: TemplateVersion) -> list[Any]:
        return [
            UnstrippedText(version_text(version)),
            [name, version.number],
            version_choices(self.work.base, name),
            caption(f"version {version.number} again; nothing is lost, see Versions"),
        ]

    def save_export(self, name: str, *values: Any) -> Any:
        """Save the experiment and the files it needs in the working folder."""
        try:
            export = self.work.export(screen_of(self.work, values))
            path = self.work.write(export, name or "playground")
        except IclError as error:
            return error_caption(error)
        more = f" with {', '.join(export.files)}" if export.files else ""
        return caption(f"saved {path.name}{more}; now: icl run {path.name}")
