"""Words and label names of the user's own files, which are laid over those of the library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from icl.core.errors import ConfigError, DataError
from icl.core.languages import find_language
from icl.core.strict_yaml import load_yaml
from icl.core.types import normalise_label

__all__ = ["EVERY_TABLE", "FormTable", "OwnForms", "name_form", "read_forms"]


FormTable = Mapping[str, Mapping[str, str]]
"""Word or label -> language, from :func:`name_form` -> its form."""
EVERY_TABLE = ""
"""Name of the forms that are for the labels of every template."""


@dataclass(frozen=True, slots=True)
class OwnForms:
    """The forms in an experiment's own files; both are empty without a file."""

    words: FormTable = field(default_factory=dict)
    labels: Mapping[str, FormTable] = field(default_factory=dict)
    """Name of a label table, or :data:`EVERY_TABLE` -> its forms."""

    def of_table(self, name: str | None) -> FormTable:
        """Return the forms for the labels of a table; None names the labels of a template itself.

        >>> OwnForms(labels={"": {"neg": {"fi": "huono"}}}).of_table("sentiment")
        {'neg': {'fi': 'huono'}}
        """
        return {**self.labels.get(EVERY_TABLE, {}), **(self.labels.get(name, {}) if name else {})}


def name_form(tag: str) -> str:
    """Return the key of a language's forms: its code, with the script if that is not the usual one.

    >>> name_form("fin_Latn"), name_form("zh-CN"), name_form("zh-TW"), name_form("sr-Latn")
    ('fi', 'zh', 'zh-Hant', 'sr-Latn')

    Raises:
        DataError: not the tag of a language.
    """
    found = find_language(tag)
    usual = find_language(found.code).script
    return found.code if found.script == usual else f"{found.code}-{found.script}"


def read_forms(path: Path, what: str) -> FormTable:
    """Read a file of words or labels with their forms by language.

    Args:
        path: the file, whose key ``what`` holds ``name: {language: form}``.
        what: ``words`` or ``labels``.

    Raises:
        ConfigError: no such file, or it has another shape; the message says which line is accepted.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise ConfigError(
            f"{what}: there is no file {path} ({error.strerror}); its path goes from the folder of "
            "the experiment file"
        ) from error
    return _read(path, what, changed)


@lru_cache(maxsize=32)
def _read(path: Path, what: str, changed: int) -> FormTable:
    """Read the file as it was at a time; a later change is read anew."""
    example = f"`{what}: {{{'utterance' if what == 'words' else 'alarm_set'}: {{fi: …}}}}`"
    try:
        found: Any = load_yaml(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"{what}: {path} cannot be read as YAML: {told}") from error
    table = found.get(what) if isinstance(found, dict) else None
    if not isinstance(table, dict) or not table:
        raise ConfigError(
            f"{path}: the key `{what}:` is missing or empty; write it as in {example}"
        )
    made: dict[str, dict[str, str]] = {}
    for name, forms in table.items():
        if not isinstance(forms, dict) or not isinstance(name, str | int) or isinstance(name, bool):
            raise ConfigError(
                f"{path}: {what}: {name!r} has {forms!r} where forms by language belong; write it "
                f"as in {example}, and words that YAML reads as true or false in quotes"
            )
        key = normalise_label(str(name)) if what == "labels" else str(name)
        made[key] = {_tag(tag, path, key): _form(form, path, key) for tag, form in forms.items()}
    return made


def _tag(tag: Any, path: Path, name: str) -> str:
    if isinstance(tag, bool):
        raise ConfigError(
            f"{path}: {name}: a language reads as {str(tag).lower()} in YAML; put it in quotes, as "
            'in "no", or write nb'
        )
    try:
        return name_form(str(tag))
    except DataError as error:
        raise ConfigError(f"{path}: {name}: {error}") from error


def _form(form: Any, path: Path, name: str) -> str:
    if isinstance(form, bool | list | dict) or form is None or not str(form).strip():
        raise ConfigError(
            f"{path}: {name}: the form {form!r} is no text; put it in quotes, or leave the "
            "language out"
        )
    return str(form)
