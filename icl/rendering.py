"""Who makes prompts again of the templates that a condition folder keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from icl.engines.chat import sent_text
from icl.prompts import Template, template_of
from icl.types import Prompt

__all__ = ["HERE", "Rendering"]


@dataclass(frozen=True, slots=True)
class Rendering:
    """Two functions, of this process or of one whose work is bounded.

    The templates in a folder that somebody sent are that somebody's programs:
    :meth:`icl.sandbox_child.Sandbox.rendering` gives them a second and 256 MB.
    """

    template: Callable[[Mapping[str, Any]], Template]
    """Of a template as it is kept; see :func:`icl.prompts.template_of`."""
    sent: Callable[[Prompt, Mapping[str, Any]], str]
    """Of a prompt and an engine's identity; see :func:`icl.engines.chat.sent_text`."""


HERE = Rendering(template_of, sent_text)
"""In this process, for runs of one's own."""
