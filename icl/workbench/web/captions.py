"""Captions: small lines below a part of the page that tell its state, without a box."""

from __future__ import annotations

from typing import Any

import gradio as gr

from icl.workbench.web.safe_html import caption_html

__all__ = ["caption", "caption_box", "error_caption"]


def caption_box(name: str, hint: str = "") -> Any:
    """Make the place of a caption; ``hint`` is shown there at first."""
    return gr.HTML(caption_html(hint), elem_id=name, elem_classes="captions", js_on_load=None)


def caption(text: str) -> Any:
    """Say a text in a caption."""
    return gr.HTML(caption_html(text))


def error_caption(error: BaseException | str) -> Any:
    """Say an error in a caption."""
    return gr.HTML(caption_html(str(error), "wrong"))
