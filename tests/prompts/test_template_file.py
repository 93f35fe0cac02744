"""Template files: front matter, sections, halves, newlines, tables, and the sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import LeakError, TemplateError
from icl.prompts.jinja_sandbox import TemplateHalf
from icl.prompts.template_file import TemplateFile, list_templates, parse_template, read_template
from tests.hostile import REFUSED

PATH = Path("my.j2")
EXAMPLE = "[[example]]\nQ: {{ utt }}\nA:||| {{ target }}\n"


def parse(text: str) -> TemplateFile:
    return parse_template(text, "my.j2", PATH)


def front(matter: str, body: str = EXAMPLE) -> TemplateFile:
    return parse(f"---\n{matter}\n---\n{body}")


def refused(text: str, kind: type[TemplateError] = TemplateError) -> str:
    with pytest.raises(kind) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("my.j2:") and "\n" not in message
    return message


# --- front matter -------------------------------------------------------------------------------


def test_front_matter_is_read_and_has_defaults() -> None:
    file = front('about: a test\nstop: ["\\n", "###"]\nseparator: "\\n"\nchoice_end: never')
    assert (file.stop, file.separator, file.choice_end) == (("\n", "###"), "\n", "never")
    assert file.head.about == "a test"
    bare = parse(EXAMPLE)
    assert (bare.kind.name, bare.stop, bare.separator) == ("generate", (), "\n\n")
    assert (bare.choice_end, bare.shared_fields, bare.head.fallback) == ("auto", (), None)
    assert front('stop: "\\n"').stop == ("\n",), "one text is a list of one"
    assert front("").head == bare.head, "an empty front matter is none"


@pytest.mark.parametrize(
    ("matter", "message"),
    [
        ("stops: [a]", "my.j2: unknown front matter key 'stops'. Did you mean 'stop'? There are: "),
        ("1: a", "my.j2: unknown front matter key 1"),
        ("about: a\nstop: [", "my.j2:4: the front matter is not YAML: "),
        ("about: a\n\tb: c", "my.j2:3: the front matter is not YAML: "),
        ("about: \0", "my.j2: the front matter is not YAML: "),
        ("about: !!python/name:os.system x", "my.j2:2: the front matter is not YAML: "),
        ("about: 2024-99-99", "my.j2: the front matter is not YAML: "),
        ("just words", "my.j2:2: the front matter must be `key: value` lines"),
        ("task: clasify", "my.j2: task: 'clasify'. Did you mean 'classify'?"),
        ("task: [classify]", "my.j2: task: ['classify']"),
        ("choice_end: on", "my.j2: choice_end: True. There are: always, auto, never"),
        ("stop: ['']", "my.j2: an empty stop string would end every output at once"),
        ("stop: 5", "my.j2: stop: 5 is no list of texts"),
        ("stop: [5]", "my.j2: stop: [5] is no list of texts"),
        ("stop: {a: b}", "my.j2: stop: {'a': 'b'} is no list of texts"),
        ("separator: 5", "my.j2: separator: 5 is no text; put it in quotes"),
        ("label_field: [a]", "my.j2: label_field: ['a'] is no text"),
        ("fallback: no", "my.j2: fallback: False is no text"),
        ("fallback: qqqq-17", "my.j2: fallback: 'qqqq-17' is not the tag of a language"),
        ("shared_fields: [target]", "my.j2: shared_fields: 'target' is the answer"),
        ("label_field: a\nshared_fields: [a]", "my.j2: shared_fields: 'a' is the answer"),
    ],
)
def test_front_matter_errors(matter: str, message: str) -> None:
    assert refused(f"---\n{matter}\n---\n{EXAMPLE}").startswith(message)


def test_front_matter_must_be_closed() -> None:
    assert refused("---\nabout: a\n" + EXAMPLE) == (
        "my.j2:1: the front matter has no closing line `---`"
    )


def test_windows_files_and_byte_order_marks_are_read(tmp_path: Path) -> None:
    text = f"---\nstop: [x]\n---\n{EXAMPLE}"
    (tmp_path / "w.j2").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    file = read_template("w.j2", base=str(tmp_path))
    assert file.stop == ("x",)
    assert file.input.source == "Q: {{ utt }}\nA:"
    assert parse(text.replace("\n", "\r\n")) == parse(text)


# --- sections and newlines ----------------------------------------------------------------------


def test_without_sections_the_whole_file_is_the_example() -> None:
    file = parse("Q: {{ utt }}\nA:||| {{ target }}\n")
    assert (file.input.source, file.target.source) == ("Q: {{ utt }}\nA:", " {{ target }}")
    assert file.instruction is file.query is file.system is None


def test_all_sections() -> None:
    file = parse(
        "[[system]]\nS\n[[instruction]]\nI\n[[example]]\n{{ a }}|||{{ target }}\n[[query]]\n{{ b }}"
    )
    sections = (file.system, file.instruction, file.query)
    assert [half.source for half in sections if half] == ["S", "I", "{{ b }}"]


@pytest.mark.parametrize(
    ("body", "instruction", "target"),
    [
        ("[[instruction]]\nI\n[[example]]\na|||b\n", "I", "b"),
        ("[[instruction]]\nI\n\n[[example]]\na|||b\n\n", "I\n", "b\n"),
        ("[[instruction]]\n\n  I  \n[[example]]\na||| b ", "\n  I  ", " b "),
        ("[[instruction]]\n[[example]]\na|||b\n\n\n", "", "b\n\n"),
    ],
)
def test_what_is_written_is_what_is_sent(body: str, instruction: str, target: str) -> None:
    """Only the newline that ends a section, or the file, is not part of it."""
    file = parse(body)
    assert file.instruction is not None
    assert (file.instruction.render({}), file.target.render({})) == (instruction, target)


def test_jinja_keeps_the_newlines_that_are_written() -> None:
    half = TemplateHalf("my.j2", "{% for n in a %}\n{{ n }}\n{% endfor %}\n", 1)
    assert half.render({"a": [1, 2]}) == "\n1\n\n2\n\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[instruction]]\nI\n", "my.j2: no [[example]] section; it renders one example, with |||"),
        ("[[exemple]]\na|||b", "my.j2:1: unknown section 'exemple'. Did you mean 'example'?"),
        ("[[example]]\na|||b\n[[example]]\nc|||d", "my.j2:3: section [[example]] appears twice"),
        ("Hello\n[[example]]\na|||b", "my.j2:1: text before the first section"),
        (
            "[[query]]\na|||b\n[[example]]\na|||b",
            "my.j2:1: ||| belongs in [[example]] and [[channel]] alone",
        ),
        ("[[example]]\nQ: {{ utt }}", "my.j2:2: [[example]] has 0 ||| and needs exactly one"),
        ("[[example]]\nQ: {{ utt }\nA:||| {{ label }}", "my.j2:2: unexpected '}'"),
        ("[[example]]\na|||b|||c", "my.j2:2: [[example]] has 2 ||| and needs exactly one"),
        ("[[example]]\na|||  \n", "my.j2:2: nothing follows |||"),
    ],
)
def test_section_errors(text: str, message: str) -> None:
    assert refused(text).startswith(message)


def test_errors_count_lines_of_the_file() -> None:
    message = refused("---\nabout: a\n---\n[[instruction]]\nI\n[[example]]\na\n{% if %}|||b\n")
    assert message.startswith("my.j2:8: ")


def test_a_boundary_inside_a_jinja_tag_is_none() -> None:
    file = parse("{{ 'a|||b' }}{# |||\n #}{{ \"}}|||\" }}|||{{ target }}")
    assert file.input.render({}) == "a|||b}}|||"
    assert file.target.render({"target": "x|||y"}) == "x|||y", "data is not cut"


def test_a_block_cannot_cross_the_boundary() -> None:
    message = refused("[[example]]\n{% if a %}Q||| {{ target }}{% endif %}")
    assert message.startswith("my.j2:2: ") and "compiled separately, so a block" in message


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("{{ word }}", "may read only `label`, since every label is rendered with it; it reads"),
        ("{{ label }} {{ utt }}", "it reads ['utt']"),
        ("yes", "must read `label`, as in `||| {{ label }}`"),
    ],
)
def test_a_classify_target_reads_the_label_alone(target: str, message: str) -> None:
    text = f"---\ntask: classify\nlabels: [a, b]\n---\n{{{{ utt }}}}||| {target}"
    assert message in refused(text)


# --- leaks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["label", "target", "targets", "answer", "extra"])
@pytest.mark.parametrize("section", ["system", "instruction", "query", "example"])
def test_no_input_may_read_the_answer(name: str, section: str) -> None:
    head = "---\nlabel_field: answer\nanswer_fields: [extra]\n---\n"
    if section == "example":
        text = f"{head}[[example]]\nQ\n{{{{ {name} }}}}||| {{{{ target }}}}"
    else:
        text = f"{head}[[example]]\nQ||| {{{{ target }}}}\n[[{section}]]\n{{{{ {name} }}}}"
    line = 7 if section == "example" else 8
    assert refused(text, LeakError) == (
        f"my.j2:{line}: the input reads {name!r}, which holds the answer; move it after |||, or "
        "list it under `shared_fields:` if it gives nothing away"
    )


def test_what_the_target_reads_the_input_may_not_unless_shared() -> None:
    body = "{{ utt }}{{ lang }}||| {{ summary }} {{ lang }}"
    assert "reads 'lang'" in refused(body, LeakError)
    assert front("shared_fields: [lang]", body).input.render({"utt": "a", "lang": "b"}) == "ab"
    both = "{{ words.a }}{{ source_language }}||| {{ words.a }}{{ source_language }}{{ target }}"
    assert parse(both).input.names, "words and names of languages are no answers"


def test_a_loop_variable_called_label_is_no_leak() -> None:
    body = (
        "[[instruction]]\n{% for label in labels %}{{ label }}, {% endfor %}\n"
        "[[example]]\n{{ utt }}||| {{ label }}"
    )
    file = front("task: classify\nlabels: [a, b]", body)
    assert file.instruction is not None
    assert file.instruction.render({"labels": ["a", "b"]}) == "a, b, "
    behind = body.replace("{% endfor %}", "{% endfor %}{{ label }}")
    assert "reads 'label'" in refused(f"---\ntask: classify\n---\n{behind}", LeakError)


def test_names_are_found_where_they_are_first_read() -> None:
    half = TemplateHalf(
        "f", "{% for label in labels %}x{% endfor %}\n{{ label }}{{ a }}\n{{ a }}", 3
    )
    assert half.names == {"labels": 3, "label": 4, "a": 4}


def test_renaming_the_answer_is_a_leak_too() -> None:
    assert "reads 'target'" in refused("{% set t = target %}{{ t }}||| {{ target }}", LeakError)


# --- files --------------------------------------------------------------------------------------


def test_unknown_templates_are_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"unknown template 'intent/plan'. Did you mean"):
        read_template("intent/plan")
    with pytest.raises(TemplateError, match=r"no template file .*none\.j2\. \(paths go from"):
        read_template("none.j2", base=str(tmp_path))
    (tmp_path / "latin.j2").write_bytes("für|||{{ target }}".encode("latin-1"))
    with pytest.raises(TemplateError, match=r"latin\.j2: not UTF-8 text .*; save the file as"):
        read_template("latin.j2", base=str(tmp_path))
    with pytest.raises(TemplateError, match=r"no template file .*latn\.j2. Did you mean 'latin"):
        read_template("latn.j2", base=str(tmp_path))


def test_a_variant_for_the_language_comes_first(tmp_path: Path) -> None:
    (tmp_path / "plain.j2").write_text("English|||{{ target }}")
    (tmp_path / "plain.de.j2").write_text("Deutsch|||{{ target }}")
    sources = {
        tag: read_template("plain.j2", tag, str(tmp_path)).input.source
        for tag in ("en", "de", "de-AT", "deu_Latn", "fr")
    }
    german = dict.fromkeys(["de", "de-AT", "deu_Latn"], "Deutsch")
    assert sources == {**german, "en": "English", "fr": "English"}


def test_template_names_leave_variants_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/plain.j2", "a/plain.de.j2", "a/v1.5.j2"):
        (tmp_path / name).write_text("x|||{{ target }}")
    monkeypatch.setattr("icl.prompts.template_file.find_library", lambda: tmp_path)
    assert list_templates() == ["a/plain", "a/v1.5"]


# --- the sandbox --------------------------------------------------------------------------------


def generator() -> Any:
    yield 1


NOT_THERE = [
    "{{ lipsum }}",
    "{{ lipsum(n=1) }}",
    "{{ [1, 2]|random }}",
    "{{ joiner }}",
    "{{ now() }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{% if 1 %}" * 500 + "x" + "{% endif %}" * 500,
]


@pytest.mark.parametrize("source", REFUSED + NOT_THERE, ids=range(len(REFUSED + NOT_THERE)))
def test_hostile_templates_are_refused(source: str) -> None:
    assert len(REFUSED) == 19
    context: dict[str, Any] = {"ex": {}, "rows": [1], "fn": lambda: 1, "gen": generator()}
    with pytest.raises(TemplateError) as caught:
        parse(f"[[example]]\n{source}||| {{{{ target }}}}").input.render(context)
    assert str(caught.value).startswith("my.j2:2: ") and "\n" not in str(caught.value)
    assert context["rows"] == [1] and context["ex"] == {}


def test_what_the_sandbox_must_let_pass() -> None:
    source = (
        "{% set n = namespace(i=0) %}{% for i in range(3) %}{% set n.i = n.i + i %}{% endfor %}"
    )
    assert TemplateHalf("f", source + "{{ n.i }} {{ ex.a }} {{ rows[0] }}", 1).render(
        {"ex": {"a": "{{ b }}"}, "rows": ["<i>"]}
    ) == ("3 {{ b }} <i>"), "data is neither rendered again nor escaped"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\n{{ utx }}", "my.j2:2: 'utx' is undefined. Did you mean 'utt'? There are: row, utt"),
        ("a\n\n{{ row.b }}", "my.j2:3: 'dict object' has no attribute 'b'. Variables: "),
        ("{{ utt / 2 }}", "my.j2:1: TypeError: "),
        ("\n{{ 1 / 0 }}", "my.j2:2: ZeroDivisionError: division by zero"),
        ("{{ row | unpunct }}", "my.j2:1: AttributeError: "),
        ("{{ utt | unpunkt }}", "my.j2:1: no filter is called 'unpunkt'. Did you mean 'unpunct'?"),
        ("\n{{ utt is odd_ }}", "my.j2:2: no test is called 'odd_'. Did you mean 'odd'?"),
    ],
)
def test_errors_name_file_line_and_remedy(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        TemplateHalf("my.j2", source, 1).render({"utt": "a", "row": {}})
    assert str(caught.value).startswith(message)


# --- filters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "value", "text"),
    [
        (
            "{{ v | json }}",
            {"zeit": "明日 <fünf>", "an": None},
            '{"zeit": "明日 <fünf>", "an": null}',
        ),
        ("{{ v | json }}", ["b", 1, True], '["b", 1, true]'),
        ("{{ v | quoted }}", ["a", "b c"], '"a", "b c"'),
        ("{{ v | quoted }}", [], ""),
        ("{{ v | unpunct }}", "The man slept. ", "The man slept"),
        ("{{ v | unpunct }}", "男人睡着了。", "男人睡着了"),
        ("{{ v | unpunct }}", "वह सो गया।", "वह सो गया"),
        ("{{ v | unpunct }}", "Mr. X", "Mr. X"),
        ("{{ v | decap }}", "The Man", "the Man"),
        ("{{ v | decap }}", "", ""),
        ("{{ v | places('he') }}", "the man, he said, where he is", "[9, 24]"),
        ("{{ v | places('he') }}", "the_he he2 she", "[]"),
        ("{{ v | places('कि') }}", "किया कि", "[5]"),  # a vowel sign goes on with the word
        ("{{ v | places('') }}", "a", "[]"),
    ],
)
def test_filters(source: str, value: Any, text: str) -> None:
    assert TemplateHalf("f", source, 1).render({"v": value}) == text
    if "json" in source:
        assert json.loads(text) == value


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("{{ utt }}", set()),
        ("{{ words.yes }}{{ words['no'] }}", {"yes", "no"}),
        ("{{ words[question] }}", None),
        ("{% for w in words %}{{ w }}{% endfor %}", None),
    ],
)
def test_words_used(source: str, used: set[str] | None) -> None:
    assert TemplateHalf("f", source, 1).words_used == used
    assert parse(f"[[example]]\na||| {{{{ target }}}}\n[[query]]\n{source}").words_used == used


def test_json_of_a_field_that_is_not_there_names_it() -> None:
    with pytest.raises(TemplateError, match="'slots' is undefined"):
        TemplateHalf("my.j2", "{{ slots | json }}", 1).render({"utt": "x"})
