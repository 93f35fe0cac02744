"""Rendering of stored templates, in this process or in a sandboxed one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from icl.core.types import Prompt
from icl.prompts.chat_template import render_sent
from icl.prompts.template import Template, TemplateCopy, restore

__all__ = ["HERE", "Rendering"]


@dataclass(frozen=True, slots=True)
class Rendering:
    """Two functions that render stored templates.

    The templates in a folder that somebody sent are programs of theirs:
    :meth:`icl.prompts.child_process.Sandbox.rendering` limits them to one second and 256 MB.
    """

    template: Callable[[TemplateCopy], Template]
    """Restores a stored template; see :func:`icl.prompts.template.restore`."""
    sent: Callable[[Prompt, Mapping[str, Any]], str]
    """Renders the text sent for a prompt, given the engine's identity; see
    :func:`icl.prompts.chat_template.render_sent`."""


HERE = Rendering(restore, render_sent)
"""Rendering in this process, for the user's own runs."""
