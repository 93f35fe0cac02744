"""Texts of rows and models as HTML that shows them and does nothing else.

Only these functions make HTML of such texts: everything is escaped, also what Gradio's templates
would evaluate, and what nobody sees is drawn as a mark.
"""

from __future__ import annotations

from html import escape

from icl.core.safe_text import describe_hidden, split_hidden
from icl.workbench.web.form_values import browser_text

__all__ = ["attribute", "caption_html", "inline_html", "text_html"]


_EVALUATED = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;"})


def attribute(text: str) -> str:
    """Escape a text for an attribute in double quotes, its hidden characters drawn."""
    return "".join(_plain(piece) for piece, _ in split_hidden(browser_text(text, 2000)))


def text_html(text: str, most: int = 100_000) -> str:
    r"""Escape a text; a hidden character becomes a mark that names it.

    >>> text_html("<b>\u200b")
    '&lt;b&gt;<span class="mark" title="U+200B zero width space">\\u200b</span>'
    """
    return "".join(
        _plain(piece)
        if hidden is None
        else f'<span class="mark" title="{escape(describe_hidden(hidden))}">{_plain(piece)}</span>'
        for piece, hidden in split_hidden(browser_text(text, most))
    )


def inline_html(text: str, most: int = 200) -> str:
    """Write a text of a row within a line, in its own direction of writing."""
    return f'<bdi dir="auto">{text_html(text, most)}</bdi>'


def caption_html(text: str, kind: str = "") -> str:
    """Write a caption below a control: small text without a box, or "" for none."""
    if not text:
        return ""
    return f'<p class="caption {kind}" dir="auto">{text_html(text, 4000)}</p>'


def _plain(text: str) -> str:
    return escape(text).translate(_EVALUATED)
