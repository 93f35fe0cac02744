from __future__ import annotations

from pathlib import Path

import pytest

from icl.core.errors import StoreError, TemplateError
from icl.prompts.template_file import parse_template
from icl.workbench.template_files import (
    fields_of,
    first_changed_line,
    keep_version,
    save_template,
    step_back,
    template_choices,
    template_text,
    version_text,
    versions,
)


@pytest.mark.parametrize(
    "name",
    ["", "../x", "a\\b", "/etc/x", ".hidden", "a b", "x" * 65, "a\0b", "a/b/c/d", "a//b", "a/../b"],
)
def test_names_that_are_no_plain_paths_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a template; accepted: letters, digits"):
        save_template(tmp_path, name, "x", "")
    assert not list(tmp_path.rglob("*"))


def test_only_the_open_template_is_written_over(tmp_path: Path) -> None:
    made = save_template(tmp_path, "größe.j2", "a\n", "intent/plain")
    assert made == "prompts/größe.j2"
    with pytest.raises(StoreError, match="exists already; open it from the list"):
        save_template(tmp_path, "größe", "b\n", "intent/plain")
    assert (tmp_path / made).read_text("utf-8") == "a\n"
    assert save_template(tmp_path, "größe", "b\n", made) == made
    assert save_template(tmp_path, "drafts/x", "c", "") == "drafts/x.j2"
    assert template_choices(tmp_path)[:2] == ["drafts/x.j2", made]
    outside = tmp_path / "outside.txt"
    outside.write_text("o")
    (tmp_path / "prompts" / "link.j2").symlink_to(outside)
    with pytest.raises(StoreError, match="a link to another place"):
        save_template(tmp_path, "link", "x", "prompts/link.j2")
    with pytest.raises(StoreError, match="65,536 are accepted"):
        save_template(tmp_path, "big", "x" * 70_000, "")
    assert outside.read_text() == "o"


def test_what_was_written_over_is_kept(tmp_path: Path) -> None:
    made = save_template(tmp_path, "x", "one", "")
    (tmp_path / made).write_text("by another editor")
    save_template(tmp_path, "x", "two", made)
    kept = versions(tmp_path, made)
    assert [version_text(one) for one in kept] == ["two", "by another editor", "one"]
    assert keep_version(tmp_path, made, "two") is None
    assert keep_version(tmp_path, "intent/plain", "tried \ud800") is not None
    library = template_text("intent/plain", "en", tmp_path)
    kept_text = [version_text(one) for one in versions(tmp_path, "intent/plain")]
    assert kept_text == ["tried \ufffd", library]  # what was edited can be gone back to
    assert [one.number for one in kept] == [3, 2, 1]
    assert template_choices(tmp_path)[0] == made  # versions are no templates


def test_only_templates_of_the_list_are_opened(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("secret")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.j2").write_text("secret")
    for name in ("x.txt", "../x.j2", "p/../x.j2", "/etc/passwd", "intent/nope", ".hidden/x.j2"):
        with pytest.raises(TemplateError, match="unknown template"):
            template_text(name, "en", tmp_path)


def test_the_variant_of_the_prompt_language_is_what_a_run_reads(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("en\r\n")
    (tmp_path / "a.de.j2").write_text("de")
    assert template_text("a.j2", "en", tmp_path) == "en\n"
    assert template_text("a.j2", "de-DE", tmp_path) == "de"


def test_fields_are_those_that_inputs_read() -> None:
    text = """---
task: choose
choices: [first, second]
---
[[instruction]]
{{ words.hello }} {{ topic }} in {{ language }}
[[example]]
{{ b }} {% for x in items %}{{ x }}{% endfor %} {{ a }}||| {{ choice }}
"""
    file = parse_template(text, "x", Path("x"))
    assert fields_of(file) == ["topic", "b", "items", "a", "first", "second"]


def walk(base: Path, name: str, text: str, steps: int) -> list[str]:
    """The texts that Undo brings, step by step; "" once there is none before."""
    found, at = [], None
    for _ in range(steps):
        before = step_back(base, name, text, at)
        found.append(version_text(before) if before else "")
        if before is not None:
            text, at = version_text(before), before.number
    return found


def test_undo_finds_the_edit_after_every_run(tmp_path: Path) -> None:
    library = template_text("intent/plain", "en", tmp_path)
    keep_version(tmp_path, "intent/plain", "edited and run")
    assert walk(tmp_path, "intent/plain", "edited and run", 2) == [library, ""]
    assert walk(tmp_path, "intent/plain", "edited and run", 2) == [library, ""]  # none was added
    assert walk(tmp_path, "intent/plain", "typed, not run", 3) == ["edited and run", library, ""]


def test_undo_begins_at_the_newest_of_equal_texts(tmp_path: Path) -> None:
    name = save_template(tmp_path, "x", "one", "")
    for text in ("two", "one", "two", "two", "three", "two"):
        keep_version(tmp_path, name, text)
    assert walk(tmp_path, name, "two", 6) == ["three", "two", "one", "two", "one", ""]


def test_versions_are_told_by_the_first_line_that_changed(tmp_path: Path) -> None:
    name = save_template(tmp_path, "x", "a\nb\nc", "")
    for text in ("a\n  B\nc", "a\n  B\nc\nd", "a\n  B"):
        keep_version(tmp_path, name, text)
    found = versions(tmp_path, name)
    told = [first_changed_line(found, place) for place in range(len(found))]
    assert told == ["without: c", "d", "B", "a"]
