"""Who makes prompts again of the templates that a condition folder keeps."""

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
    """Two functions, of this process or of one whose work is bounded.

    The templates in a folder that somebody sent are that somebody's programs:
    :meth:`icl.prompts.child_process.Sandbox.rendering` gives them a second and 256 MB.
    """

    template: Callable[[TemplateCopy], Template]
    """Of a template as it is kept; see :func:`icl.prompts.template.restore`."""
    sent: Callable[[Prompt, Mapping[str, Any]], str]
    """Of a prompt and an engine's identity; see :func:`icl.prompts.chat_template.render_sent`."""


HERE = Rendering(restore, render_sent)
"""In this process, for runs of one's own."""
