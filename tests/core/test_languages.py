import subprocess
import sys
from pathlib import Path

import pytest

from icl.core.errors import DataError
from icl.core.languages import find_language

NTREX = Path(__file__).parents[2].parent / "shared" / "data" / "ntrex" / "LANGUAGES.tsv"

MASSIVE = (
    "af-ZA am-ET ar-SA az-AZ bn-BD ca-ES cy-GB da-DK de-DE el-GR en-US es-ES fa-IR fi-FI fr-FR "
    "he-IL hi-IN hu-HU hy-AM id-ID is-IS it-IT ja-JP jv-ID ka-GE km-KH kn-IN ko-KR lv-LV ml-IN "
    "mn-MN ms-MY my-MM nb-NO nl-NL pl-PL pt-PT ro-RO ru-RU sl-SL sq-AL sv-SE sw-KE ta-IN te-IN "
    "th-TH tl-PH tr-TR ur-PK vi-VN zh-CN zh-TW"
)


# Codes and scripts: CLDR's supplementalData (languageAlias, likelySubtags) and the tags
# themselves; families: Glottolog's top level.
@pytest.mark.parametrize(
    ("tag", "code", "script", "family"),
    [
        ("sw-KE", "sw", "Latn", "Atlantic-Congo"),
        ("swh_Latn", "sw", "Latn", "Atlantic-Congo"),
        ("swa", "sw", "Latn", "Atlantic-Congo"),
        ("zho_Hans", "zh", "Hans", "Sino-Tibetan"),
        ("cmn", "zh", "Hans", "Sino-Tibetan"),
        ("zh-TW", "zh", "Hant", "Sino-Tibetan"),
        ("zho-CN", "zh", "Hans", "Sino-Tibetan"),
        ("deu_Latn", "de", "Latn", "Indo-European"),
        ("hin_Deva", "hi", "Deva", "Indo-European"),
        ("hi", "hi", "Deva", "Indo-European"),
        ("arb_Arab", "ar", "Arab", "Afro-Asiatic"),
        ("pes_Arab", "fa", "Arab", "Indo-European"),
        ("tl-PH", "fil", "Latn", "Austronesian"),
        ("tur_Latn", "tr", "Latn", "Turkic"),
        ("kat_Geor", "ka", "Geor", "Kartvelian"),
        ("eus_Latn", "eu", "Latn", "Basque"),
        ("srp_Cyrl", "sr", "Cyrl", "Indo-European"),
        ("shi-Tfng", "shi", "Tfng", "Afro-Asiatic"),
        ("en_XX", "en", "Latn", "Indo-European"),
        ("iw", "he", "Hebr", "Afro-Asiatic"),
        ("tlh", "tlh", "Zzzz", None),
        ("mey", "mey", "Zzzz", "Afro-Asiatic"),
    ],
)
def test_code_script_family(tag, code, script, family):
    found = find_language(tag)
    assert (found.tag, found.code, found.script, found.family) == (tag, code, script, family)


# CLDR's display names.
@pytest.mark.parametrize(
    ("tag", "display", "name"),
    [
        ("swh_Latn", "en", "Swahili"),
        ("swh_Latn", "de", "Suaheli"),
        ("sw-KE", "sw", "Kiswahili"),
        ("zho_Hans", "en", "Chinese"),
        ("cmn", "de", "Chinesisch"),
        ("deu_Latn", "de-DE", "Deutsch"),
        ("deu_Latn", "swh_Latn", "Kijerumani"),
        ("eng_Latn", "hin_Deva", "अंग्रेज़ी"),
        ("ory_Orya", "en", "Odia"),
        ("npi_Deva", "en", "Nepali"),
    ],
)
def test_name(tag, display, name):
    assert find_language(tag).name(display) == name


@pytest.mark.parametrize(
    ("tag", "guess"),
    [
        ("swahili", " Did you mean 'sw'?"),
        ("", ""),
        ("und", ""),
        ("mul", ""),
        ("ref", ""),
        ("a", ""),
    ],
)
def test_no_language(tag, guess):
    with pytest.raises(DataError) as caught:
        find_language(tag)
    assert str(caught.value) == (
        f"{tag!r} is not the tag of a language.{guess} "
        "Accepted are tags like 'sw', 'sw-KE', 'swh_Latn' or 'zh-Hant'"
    )


def test_missing_name_is_said_and_not_replaced_by_english():
    acehnese = find_language("ace_Latn")
    assert acehnese.name() == "Acehnese"
    with pytest.raises(DataError) as caught:
        acehnese.name("ak")
    assert str(caught.value) == (
        "CLDR has no name of 'ace' (ace_Latn) in the language 'ak'; ask for name('en') if there "
        "is one, or write the name in the template"
    )


def test_display_must_be_a_language():
    with pytest.raises(DataError, match="'german' is not the tag of a language. Did you mean 'de'"):
        find_language("sw").name("german")


def test_private_use_code_has_no_name():
    with pytest.raises(DataError, match="CLDR has no name of 'qqq'"):
        find_language("qqq").name()


@pytest.mark.parametrize("tag", MASSIVE.split())
def test_every_language_of_massive_is_known(tag):
    found = find_language(tag)
    assert found.family is not None
    assert found.script != "Zzzz"
    assert found.name() and found.name("de")


@pytest.mark.skipif(not NTREX.exists(), reason="no NTREX beside the checkout")
def test_every_tag_of_ntrex_is_a_language():
    tags = [line.split()[0] for line in NTREX.read_text(encoding="utf-8").splitlines() if line]
    assert len(tags) > 100
    for tag in tags:
        assert find_language(tag).name()


def test_import_is_light():
    code = "import icl.core.languages, sys; print('langcodes' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "False"
