"""Plain Python that a half becomes gives what Jinja gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl.prompts.jinja_sandbox import TemplateHalf
from icl.reports.jinja_to_python import HELPERS, TranslationError, write_function

CONSTANTS: dict[str, Any] = {"labels": ["a", "b'\""], "words": {"yes": "oui", "items": "x"}}
HALVES = [
    "plain \\ 'text' \"quoted\" {# comment #}\n",
    "{{ text }}{{ number }}{{ none }}{{ yes }}",
    "{% for hint in hints %}\"{{ hint.word }}\" means {{ hint.senses | quoted }}.\n{% endfor %}",
    "{% for hint in hints %}{% for sense in hint['senses'] %}{{ sense | upper }};{% endfor %}"
    "{% endfor %}",
    "{% if number > 2 and not none %}big{% elif number == 2 %}two{% else %}small{% endif %}",
    "{{ 'x' if text in labels or number <= 1 else text | trim | lower | decap }}",
    "{{ labels | join(', ') }}|{{ labels | join }}|{{ hints | json }}",
    "{{ words.yes }} {{ words['yes'] }} {{ words[text] }} {{ text ~ number ~ words.yes }}",
    "{{ text | unpunct }}",
    "{%- if yes -%}  trimmed  {%- endif %}",
    "",
]  # fmt: skip


def made(source: str) -> Any:
    text, helpers = write_function("half", TemplateHalf("x.j2", source, 1), CONSTANTS)
    namespace: dict[str, Any] = {}
    exec("import json\n" + "\n".join(HELPERS[name] for name in helpers) + text, namespace)
    return namespace["half"]


@pytest.mark.parametrize("source", HALVES)
@given(
    text=st.sampled_from(["yes", "items"]), number=st.integers(0, 4) | st.floats(0, 4),
    words=st.lists(st.text(max_size=5), max_size=3),
)  # fmt: skip
def test_plain_python_gives_what_jinja_gives(
    source: str, text: str, number: float, words: list[str]
) -> None:
    row = {
        "text": text, "number": number, "none": None, "yes": True,
        "hints": [{"word": word, "senses": words} for word in words],
    }  # fmt: skip
    assert made(source)(row) == TemplateHalf("x.j2", source, 1).render({**row, **CONSTANTS})


@given(text=st.text())
def test_any_text_survives(text: str) -> None:
    row = {"text": text}
    for source in ("{{ text }}", "{{ text | unpunct }}{{ text | decap }}{{ text | json }}"):
        assert made(source)(row) == TemplateHalf("x.j2", source, 1).render(row)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% set x = 1 %}{{ x }}", "`assign`"),
        ("{{ text | title }}", "the filter `title`"),
        ("{{ hints | join(', ', attribute='word') }}", "the filter `join`"),
        ("{% for h in hints %}{{ loop.index }}{% endfor %}", "`loop`"),
        ("{{ hints.items }}", "the attribute `items`"),
        ("{{ text[1:] }}", "`getitem`"),
        ("{{ number + 1 }}", "`add`"),
        ("{{ text.upper() }}", "`call`"),
        ("{% for h in hints if h %}{{ h }}{% endfor %}", "a `for` with"),
        ("{{ text is string }}", "`test`"),
    ],
)
def test_what_has_no_counterpart_is_named(source: str, reason: str) -> None:
    with pytest.raises(TranslationError, match=reason):
        made(source)
