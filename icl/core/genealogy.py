"""Family, genus and Glottocode of the languages of MASSIVE, XCOPA, NTREX-128 and FLORES-200.

Families are the top level of Glottolog and Glottocodes its own (Hammarström, Forkel, Haspelmath
and Bank 2024, Glottolog 5.1, https://glottolog.org); an isolate is its own family there. Genera
are those of WALS (Dryer and Haspelmath 2013, https://wals.info); a language that WALS lacks stands
in the genus of its nearest kin. A code for several languages has the Glottocode of the standard one
in these data sets: Standard Arabic for ``ar``. Esperanto, which has no family, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GENEALOGY", "Descent", "find_descent"]


GENEALOGY = {
    ("Afro-Asiatic", "Berber"): (
        "kab:kaby1243 shi:tach1250 taq:tama1365 tzm:cent2194 zgh:stan1324"
    ),
    ("Afro-Asiatic", "Lowland East Cushitic"): "om:west2721 so:soma1255",
    ("Afro-Asiatic", "Semitic"): (
        "acm:meso1252 acq:taiz1242 aeb:tuni1259 ajp:sout3123 am:amha1245 apc:nort3139 "
        "ar:stan1318 ars:najd1235 ary:moro1292 arz:egyp1253 he:hebr1245 mey:hass1238 "
        "mt:malt1254 ti:tigr1271"
    ),
    ("Afro-Asiatic", "West Chadic"): "ha:haus1257",
    ("Atlantic-Congo", "Bantu"): (
        "bem:bemb1257 cjk:chok1245 kam:kamb1297 kg:koon1244 ki:kiku1240 kmb:kimb1241 "
        "lg:gand1255 ln:ling1263 lua:luba1249 nd:nort2795 nr:sout3270 nso:pedi1238 "
        "ny:nyan1308 rn:rund1242 rw:kiny1244 sn:shon1251 ss:swat1243 st:sout2807 sw:swah1253 "
        "tn:tswa1253 ts:tson1249 tum:tumb1250 umb:umbu1257 ve:vend1245 xh:xhos1239 "
        "zu:zulu1248"
    ),
    ("Atlantic-Congo", "Defoid"): "yo:yoru1245",
    ("Atlantic-Congo", "Gbe"): "ee:ewee1241 fon:fonn1241",
    ("Atlantic-Congo", "Grusi"): "kbp:kabi1261",
    ("Atlantic-Congo", "Igboid"): "ig:nucl1417",
    ("Atlantic-Congo", "Oti-Volta"): "mos:moss1236",
    ("Atlantic-Congo", "Peul-Serer"): "ff:nige1253 fuv:nige1253",
    ("Atlantic-Congo", "Tano"): "ak:akan1250",
    ("Atlantic-Congo", "Ubangi"): "sg:sang1328",
    ("Atlantic-Congo", "Wolof"): "wo:nucl1347",
    ("Austroasiatic", "Khmer"): "km:cent1989",
    ("Austroasiatic", "Munda"): "sat:sant1410",
    ("Austroasiatic", "Vietic"): "vi:viet1252",
    ("Austronesian", "Barito"): "mg:plat1254",
    ("Austronesian", "Greater Central Philippine"): "ceb:cebu1242 fil:taga1270 war:wara1300",
    ("Austronesian", "Javanese"): "jv:java1254",
    ("Austronesian", "Malayo-Sumbawan"): (
        "ace:achi1257 ban:bali1278 bjn:banj1239 id:indo1316 min:mina1268 ms:stan1306 su:sund1252"
    ),
    ("Austronesian", "Northern Luzon"): "ilo:ilok1237 pag:pang1290",
    ("Austronesian", "Oceanic"): "fj:fiji1243 mi:maor1246 sm:samo1305 to:tong1325 ty:tahi1242",
    ("Austronesian", "South Sulawesi"): "bug:bugi1244",
    ("Aymaran", "Aymaran"): "ay:cent2142",
    ("Basque", "Basque"): "eu:basq1248",
    ("Dravidian", "Dravidian"): "kn:nucl1305 ml:mala1464 ta:tami1289 te:telu1262",
    ("Hmong-Mien", "Hmongic"): "hmn:hmon1333 hnj:hmon1264 mww:hmon1333",
    ("Indo-European", "Albanian"): "sq:tosk1239",
    ("Indo-European", "Armenian"): "hy:nucl1235",
    ("Indo-European", "Baltic"): "lt:lith1251 ltg:east2282 lv:latv1249",
    ("Indo-European", "Celtic"): "cy:wels1247 ga:iris1253 gd:scot1245",
    ("Indo-European", "Creoles and Pidgins"): (
        "ht:hait1244 kea:kabu1256 pap:papi1253 tpi:tokp1240"
    ),
    ("Indo-European", "Germanic"): (
        "af:afri1274 da:dani1285 de:stan1295 en:stan1293 fo:faro1244 gsw:swis1247 is:icel1247 "
        "lb:luxe1241 li:limb1263 nb:norw1259 nl:dutc1256 nn:norw1262 no:norw1258 sv:swed1254 "
        "yi:east2295"
    ),
    ("Indo-European", "Greek"): "el:mode1248",
    ("Indo-European", "Indic"): (
        "as:assa1263 awa:awad1243 bho:bhoj1244 bn:beng1280 dv:dhiv1236 gu:guja1252 "
        "hi:hind1269 hne:chha1249 ks:kash1277 mag:maga1260 mai:mait1250 mr:mara1378 "
        "ne:nepa1254 or:oriy1255 pa:panj1256 sa:sans1269 sd:sind1272 si:sinh1246 ur:urdu1245"
    ),
    ("Indo-European", "Iranian"): (
        "ckb:cent1972 fa:west2369 ku:nort2641 pbt:sout2649 ps:sout2649 tg:taji1245"
    ),
    ("Indo-European", "Romance"): (
        "ast:astu1245 ca:stan1289 es:stan1288 fr:stan1290 fur:friu1240 gl:gali1258 "
        "it:ital1282 lij:ligu1248 lmo:lomb1257 oc:occi1239 pt:port1283 ro:roma1327 "
        "sc:sard1257 scn:sici1248 vec:vene1258"
    ),
    ("Indo-European", "Slavic"): (
        "be:bela1254 bg:bulg1262 bs:bosn1245 cs:czec1258 hr:croa1245 mk:mace1250 pl:poli1260 "
        "ru:russ1263 sk:slov1269 sl:slov1268 sr:serb1264 szl:sile1253 uk:ukra1253"
    ),
    ("Japonic", "Japanese"): "ja:nucl1643 ryu:cent2126",
    ("Kartvelian", "Kartvelian"): "ka:nucl1302",
    ("Koreanic", "Korean"): "ko:kore1280",
    ("Mande", "Western Mande"): "bm:bamb1269 dyu:dyul1238",
    ("Mongolic-Khitan", "Mongolic"): "mn:halh1238",
    ("Nilotic", "Western Nilotic"): "din:sout2832 luo:luok1236 nus:nuer1246",
    ("Quechuan", "Quechuan"): "qu:cusc1236 quy:ayac1239",
    ("Saharan", "Western Saharan"): "kr:cent2050",
    ("Sino-Tibetan", "Bodic"): "bo:tibe1272 dz:dzon1239",
    ("Sino-Tibetan", "Brahmaputran"): "kac:kach1280",
    ("Sino-Tibetan", "Burmese-Lolo"): "my:nucl1310",
    ("Sino-Tibetan", "Chinese"): "nan:minn1241 yue:yuec1235 zh:mand1415",
    ("Sino-Tibetan", "Kuki-Chin"): "lus:lush1249",
    ("Sino-Tibetan", "Manipuri"): "mni:mani1292",
    ("Tai-Kadai", "Kam-Tai"): "lo:laoo1244 shn:shan1277 th:thai1261",
    ("Tupian", "Maweti-Guarani"): "gn:para1311",
    ("Turkic", "Turkic"): (
        "az:nort2697 azb:sout2697 ba:bash1264 crh:crim1257 kk:kaza1248 ky:kirg1245 "
        "tk:turk1304 tr:nucl1301 tt:tata1255 ug:uigh1240 uz:nort2690"
    ),
    ("Uralic", "Finnic"): "et:esto1258 fi:finn1318",
    ("Uralic", "Saami"): "se:nort2671",
    ("Uralic", "Ugric"): "hu:hung1274",
}
"""(family, genus) -> its languages, each as ``code:Glottocode`` with the shortest CLDR code."""


@dataclass(frozen=True, slots=True)
class Descent:
    """The place of a language among its kin."""

    family: str
    genus: str
    glottocode: str


_DESCENTS = {
    code: Descent(family, genus, glottocode)
    for (family, genus), languages in GENEALOGY.items()
    for code, _, glottocode in (one.partition(":") for one in languages.split())
}


def find_descent(code: str) -> Descent | None:
    """Find a language's family, genus and Glottocode by its shortest CLDR code; None if unlisted.

    >>> find_descent("sw")
    Descent(family='Atlantic-Congo', genus='Bantu', glottocode='swah1253')
    """
    return _DESCENTS.get(code)
