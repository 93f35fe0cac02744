import re

import pytest

from icl.core.genealogy import GENEALOGY, find_descent
from icl.core.languages import find_language
from tests.core.test_languages import MASSIVE

FLORES = (
    "ace_Latn acm_Arab afr_Latn ajp_Arab als_Latn amh_Ethi arb_Arab ary_Arab asm_Beng ast_Latn "
    "awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn bjn_Latn bod_Tibt cjk_Latn "
    "ckb_Arab crh_Latn cym_Latn dik_Latn dyu_Latn dzo_Tibt ewe_Latn fon_Latn fur_Latn fuv_Latn "
    "gaz_Latn grn_Latn hat_Latn hne_Deva kab_Latn kac_Latn kam_Latn kas_Arab kbp_Latn kea_Latn "
    "khk_Cyrl kmb_Latn kmr_Latn knc_Latn kon_Latn lij_Latn lim_Latn lmo_Latn ltg_Latn lua_Latn "
    "luo_Latn lus_Latn lvs_Latn mag_Deva min_Latn mni_Beng mos_Latn mri_Latn nno_Latn npi_Deva "
    "nus_Latn oci_Latn ory_Orya pag_Latn pap_Latn pbt_Arab pes_Arab plt_Latn prs_Arab quy_Latn "
    "sag_Latn sat_Olck scn_Latn shn_Mymr srd_Latn szl_Latn taq_Tfng tgl_Latn tpi_Latn tum_Latn "
    "twi_Latn tzm_Tfng umb_Latn uzn_Latn vec_Latn war_Latn ydd_Hebr yue_Hant zho_Hant zsm_Latn"
)
"""Those of FLORES-200 whose code is not the shortest, or whose language is in few tables."""


# Glottolog 5.1 and WALS, looked up language by language.
@pytest.mark.parametrize(
    ("tag", "family", "genus", "glottocode"),
    [
        ("sw-KE", "Atlantic-Congo", "Bantu", "swah1253"),
        ("cy-GB", "Indo-European", "Celtic", "wels1247"),
        ("deu_Latn", "Indo-European", "Germanic", "stan1295"),
        ("hi-IN", "Indo-European", "Indic", "hind1269"),
        ("tl-PH", "Austronesian", "Greater Central Philippine", "taga1270"),
        ("zho_Hans", "Sino-Tibetan", "Chinese", "mand1415"),
        ("eus_Latn", "Basque", "Basque", "basq1248"),
        ("fi-FI", "Uralic", "Finnic", "finn1318"),
        ("am-ET", "Afro-Asiatic", "Semitic", "amha1245"),
    ],
)
def test_known_languages(tag, family, genus, glottocode):
    found = find_language(tag)
    assert (found.family, found.genus, found.glottocode) == (family, genus, glottocode)


@pytest.mark.parametrize("tag", [*MASSIVE.split(), *FLORES.split()])
def test_every_locale_has_its_kin(tag):
    assert find_descent(find_language(tag).code) is not None


def test_each_code_stands_once_in_cldr_spelling_with_a_glottocode():
    pairs = [one.split(":") for codes in GENEALOGY.values() for one in codes.split()]
    codes = [code for code, _ in pairs]
    assert len(codes) == len(set(codes)) > 190
    assert [code for code in codes if find_language(code).code != code] == []
    assert [one for _, one in pairs if not re.fullmatch(r"[a-z]{4}[0-9]{4}", one)] == []


def test_a_language_outside_the_table_has_none():
    assert find_descent("tlh") is None
    assert find_language("tlh").glottocode is None
