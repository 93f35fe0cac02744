from pathlib import Path

import pytest

from icl.core.errors import ConfigError, DataError
from icl.data import DataSpec
from icl.data.locales import list_locales, pick_locales
from tests.datafiles import write

KNOWN = ["de-DE", "en-US", "es-ES", "es-MX", "hi-IN", "sw-KE", "ta-IN", "zh-CN", "zh-TW"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["sw-KE"], ["sw-KE"]),
        (["sw"], ["sw-KE"]),
        (["swh_Latn", "swa"], ["sw-KE"]),
        (["deu_Latn", "deu", "de"], ["de-DE"]),
        (["*-IN"], ["hi-IN", "ta-IN"]),
        (["*-in", "hi"], ["hi-IN", "ta-IN"]),
        (["sw", "all"], ["sw-KE", *(one for one in KNOWN if one != "sw-KE")]),
        (["e[ns]-*"], ["en-US", "es-ES", "es-MX"]),
        (["zh", "zho_Hant"], ["zh-CN", "zh-TW"]),
        (["fi-FI", "no language"], ["fi-FI", "no language"]),  # whoever reads the data says so
    ],
)
def test_names_of_locales(asked, found):
    assert pick_locales(asked, KNOWN, "MASSIVE") == found


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("sw-TZ", "no locale 'sw-TZ' in data 'massive'. Did you mean 'sw-KE'?"),
        ("es-AR", "no locale 'es-AR' in data 'massive'. Did you mean 'es-ES' or 'es-MX'?"),
        ("es", "locale: data 'massive' has 2 files of 'es': write es-ES or es-MX"),
        ("hi-Latn", "locale: no language 'hi-Latn' in data 'massive'; there is hi-IN"),
        (
            "*-XX",
            "locale: *-XX: no locale of data 'massive' is called so; there are: "
            + ", ".join(KNOWN),
        ),
    ],
)
def test_a_name_that_fits_none_or_several(asked, told):
    with pytest.raises(ConfigError) as caught:
        pick_locales([asked], KNOWN, "data 'massive'")
    assert str(caught.value) == told


def test_patterns_need_files_by_locale():
    assert pick_locales(["sw"], [], "the rows") == ["sw"]
    with pytest.raises(ConfigError, match="not named by locale, so none can be listed; write the"):
        pick_locales(["all"], [], "the rows")


def test_locales_on_disk(tmp_path: Path):
    for name in ("train/de.jsonl", "train/sw.jsonl.gz", "test/de.jsonl", "deep/er/xx.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, "{}\n")
    assert list_locales(DataSpec("jsonl", tmp_path / "{split}" / "{locale}.jsonl")) == ["de", "sw"]
    assert list_locales(DataSpec("jsonl", tmp_path / "train" / "de.jsonl")) == []
    assert list_locales(DataSpec("hf", Path("org/name"))) == []
    with pytest.raises(DataError, match="no file is called like"):
        list_locales(DataSpec("jsonl", tmp_path / "none" / "{locale}.jsonl"))
