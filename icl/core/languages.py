"""Facts about languages: code, script and names from CLDR (langcodes), and their kin."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from icl.core.errors import DataError
from icl.core.genealogy import find_descent

__all__ = ["Language", "find_language", "measure_script_share"]


_WRITTEN_IN = {
    "Hans": ("Hani",),
    "Hant": ("Hani",),
    "Jpan": ("Hani", "Hira", "Kana"),
    "Kore": ("Hang", "Hani"),
    "Hrkt": ("Hira", "Kana"),
    "Aran": ("Arab",),
    "Cyrs": ("Cyrl",),
    "Latf": ("Latn",),
    "Latg": ("Latn",),
}
"""Unicode scripts of those ISO 15924 codes that mean several scripts or a variant."""
_NO_LANGUAGE = {"und", "mul", "mis", "zxx"}
"""ISO 639-2 codes for undetermined, several, uncoded and no language."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language as a data set names it.

    >>> find_language("swh_Latn").name("de")
    'Suaheli'
    """

    tag: str
    """The tag as given: ``swh_Latn``, ``sw-KE``."""
    code: str
    """Shortest CLDR code, the macrolanguage where CLDR prefers it: ``sw`` for ``swh_Latn``."""
    script: str
    """ISO 15924 code from the tag, or else the likely one by CLDR; ``Zzzz`` if unknown."""
    family: str | None
    """Top-level family in Glottolog; None if :mod:`icl.core.genealogy` has none."""
    genus: str | None
    """Genus in WALS; None like the family."""
    glottocode: str | None
    """Code in Glottolog; None like the family."""

    def name(self, display: str = "en") -> str:
        """Return the language's name in the language ``display``, by CLDR.

        Raises:
            DataError: ``display`` is not a language tag, or CLDR lacks the name in that language.
        """
        import langcodes
        from language_data.names import code_to_names

        shown = find_language(display)
        # langcodes itself answers in English, or "Unknown language", where a name is missing.
        there = langcodes.Language.get(display).broader_tags()
        if not set(there) & code_to_names(self.code).keys():
            raise DataError(
                f"CLDR has no name of {self.code!r} ({self.tag}) in the language {shown.code!r}; "
                "ask for name('en') if there is one, or write the name in the template"
            )
        return str(langcodes.Language.get(self.code).language_name(display))


@lru_cache(maxsize=4096)
def find_language(tag: str) -> Language:
    """Parse a language tag in any common spelling: ``sw``, ``sw-KE``, ``swh_Latn``, ``zh_TW``.

    >>> find_language("zho_Hans").code, find_language("zh-TW").script, find_language("sw-KE").family
    ('zh', 'Hant', 'Atlantic-Congo')

    Raises:
        DataError: not a tag of BCP 47, or one that names no single language (``und``).
    """
    import langcodes

    try:
        parsed = langcodes.Language.get(tag).prefer_macrolanguage()
    except langcodes.LanguageTagError:
        raise _no_language(tag) from None
    # A region that BCP 47 lacks (en_XX of mBART) still names the language.
    known = langcodes.Language.make(language=parsed.language, script=parsed.script)
    code = parsed.language
    if code is None or code in _NO_LANGUAGE or code.startswith("x-") or not known.is_valid():
        raise _no_language(tag)
    script, kin = parsed.script or _likely_script(parsed), find_descent(code)
    if kin is None:
        return Language(tag, code, script, None, None, None)
    return Language(tag, code, script, kin.family, kin.genus, kin.glottocode)


def _likely_script(parsed: Any) -> str:
    """Return the likely script of a langcodes language by CLDR, or ``Zzzz`` (unknown)."""
    from langcodes.data_dicts import LIKELY_SUBTAGS

    tags = [tag for tag in parsed.broader_tags() if not tag.startswith("und")]
    if not any(tag in LIKELY_SUBTAGS for tag in tags):
        return "Zzzz"  # else langcodes takes that of "und", which is Latin
    return str(parsed.maximize().script)


def _no_language(tag: str) -> DataError:
    import langcodes

    guess = ""
    with suppress(LookupError):  # no name like it, so nothing to guess
        if len(tag) > 3:  # shorter ones match names by chance
            guess = f" Did you mean {langcodes.find(tag).to_tag()!r}?"
    return DataError(
        f"{tag!r} is not the tag of a language.{guess} "
        "Accepted are tags like 'sw', 'sw-KE', 'swh_Latn' or 'zh-Hant'"
    )


def measure_script_share(text: str, tag: str) -> float | None:
    """Return the share (0 to 1) of a text's letters that are in the script of the language ``tag``.

    The share is of a script, not a language: English text has a share of 1 for German. Letters
    without a specific script are ignored; None if no letter remains, or if CLDR knows no script
    of the language.

    >>> [measure_script_share(text, "hi") for text in ("नमस्ते", "Привет", "7!")]
    [1.0, 0.0, None]

    Raises:
        DataError: not the tag of a language.
    """
    import regex

    script = find_language(tag).script
    if script == "Zzzz":
        return None
    letters = len(regex.findall(r"[\p{L}--[\p{Zyyy}\p{Zinh}]]", text, regex.V1))
    own = "".join(rf"\p{{{code}}}" for code in _WRITTEN_IN.get(script, (script,)))
    within = len(regex.findall(rf"[\p{{L}}&&[{own}]]", text, regex.V1))
    return within / letters if letters else None
