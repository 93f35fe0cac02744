"""Texts in, numbers out: encoder-decoder models in the engine, with their own tokenizers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from icl.core.errors import ChoiceError, ModelError, WindowError
from icl.core.types import Prompt, Sampling
from icl.engines.contract import check_engine
from icl.engines.hf.engine import HFEngine
from icl.running.run import run
from tests.engines.pairs import save_pair
from tests.table_experiment import write

OPTIONS: dict[str, dict[str, Any]] = {
    "t5": {"window": 200},
    "bart": {},
    "mbart": {"target_language": "ro_RO"},
    "m2m_100": {"target_language": "deu_Latn"},
    "marian": {},
    "t5gemma": {},
}
PROMPTS = [
    Prompt("Utterance: wake me up at nine\nIntent:", stop=("\n",)),
    Prompt("set the volume to fifty percent", stop=("\n",)),
    Prompt("am", stop=("\n",)),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: save_pair(tmp_path_factory.mktemp(family), family) for family in OPTIONS}


def engine_of(folders: dict[str, Path], family: str, **options: Any) -> HFEngine:
    return HFEngine(str(folders[family]), device="cpu", **{**OPTIONS[family], **options})


@pytest.mark.parametrize("family", OPTIONS)
def test_scores_equal_the_models_loss_on_its_own_tokenization(
    folders: dict[str, Path], family: str
) -> None:
    engine = engine_of(folders, family)
    choices = ["alarm set", "alarm", "volume set at nine"]
    found = dict(engine.score([(prompt, " " + c) for prompt in PROMPTS for c in choices]))
    tokenizer, model = engine.codec.tokenizer, engine.lm.model
    if family in ("mbart", "m2m_100"):
        tokenizer.tgt_lang = OPTIONS[family]["target_language"]
    for p, prompt in enumerate(PROMPTS):
        source = tokenizer(prompt.text, return_tensors="pt")
        for c, choice in enumerate(choices):
            labels = tokenizer(text_target=choice, return_tensors="pt")["input_ids"]
            bare = tokenizer(text_target=choice, add_special_tokens=False)["input_ids"]
            if family == "t5gemma":  # its decoder starts with the <bos> that is also in front
                labels = labels[:, 1:]
            # What the model itself makes of labels: start, language and <s> where they belong.
            if family == "m2m_100":  # has no such method; its loss shifts from the start token
                start = torch.tensor([[model.config.decoder_start_token_id]])
                decoder_ids = torch.cat([start, labels[:, :-1]], dim=1)
            else:
                decoder_ids = model.prepare_decoder_input_ids_from_labels(labels)
            at = next(i for i in range(9) if labels[0, i : i + len(bare)].tolist() == bare)
            wanted = torch.full_like(labels, -100)
            wanted[:, at : at + len(bare)] = labels[:, at : at + len(bare)]
            with torch.inference_mode():
                loss = model(**source, decoder_input_ids=decoder_ids, labels=wanted).loss
            score = found[p * len(choices) + c]
            assert score.logprob == pytest.approx(-float(loss) * len(bare), abs=1e-4)
            assert (score.tokens, score.spanning) == (len(bare), 0)
            assert score.prompt_tokens == len(source["input_ids"][0])
            assert (score.chars, score.bytes) == (len(choice) + 1,) * 2


@pytest.mark.parametrize("family", OPTIONS)
def test_generated_text_equals_that_of_transformers(folders: dict[str, Path], family: str) -> None:
    engine = engine_of(folders, family)
    model, tokenizer = engine.lm.model, engine.codec.tokenizer
    lead = engine.identity()["lead"]
    config = model.generation_config
    config.forced_eos_token_id = None  # ours is said by finish: length
    config.forced_bos_token_id = lead[1] if len(lead) > 1 else None
    said: dict[int, str] = {}
    found = dict(
        engine.generate(
            [Prompt(prompt.text) for prompt in PROMPTS],
            Sampling(max_tokens=9),
            on_token=lambda i, text: said.update({i: said.get(i, "") + text}),
        )
    )
    for i, prompt in enumerate(PROMPTS):
        source = tokenizer(prompt.text, return_tensors="pt")
        ids = model.generate(
            **source,
            do_sample=False,
            num_beams=1,
            max_new_tokens=9 + len(lead) - 1,
            decoder_start_token_id=lead[0],
        )[0, len(lead) :].tolist()
        text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert found[i].text == said.get(i, "") == text.rstrip("\ufffd")
        assert found[i].prompt_tokens == len(source["input_ids"][0]) == len(engine.tokens(prompt))


def test_a_stop_string_behind_a_choice_is_the_end_of_the_text(folders: dict[str, Path]) -> None:
    engine = engine_of(folders, "t5")
    items = [(PROMPTS[0], text) for text in (" alarm", " alarm\n", " alarm set", " alarm set\n")]
    plain, ended, longer, longer_ended = [score for _, score in engine.score(items)]
    assert (ended.tokens, longer_ended.tokens) == (plain.tokens + 1, longer.tokens + 1)
    assert math.exp(ended.logprob) + math.exp(longer.logprob) < math.exp(plain.logprob) + 1e-9
    [(_, other)] = engine.score([(Prompt(PROMPTS[0].text), " alarm\n")])
    assert other.tokens == plain.tokens  # T5's tokenizer drops it, and this prompt has no stop


def test_denoising_repeats_the_prompt_and_sums_the_choice(folders: dict[str, Path]) -> None:
    engine = engine_of(folders, "bart", mode="denoising")
    items = [(prompt, choice) for prompt in PROMPTS for choice in (" alarm set", " volume set\n")]
    found = [score for _, score in sorted(engine.score(items), key=lambda pair: pair[0])]
    plain = [score for _, score in engine.score_plain(items)]
    model, tokenizer = engine.lm.model, engine.codec.tokenizer
    for (prompt, choice), score, other in zip(items, found, plain, strict=True):
        given = tokenizer(prompt.text, add_special_tokens=False)["input_ids"]
        both = tokenizer(prompt.text + choice.rstrip("\n"), add_special_tokens=False)["input_ids"]
        assert both[: len(given)] == given
        both += [tokenizer.eos_token_id] * choice.endswith("\n")
        labels = torch.tensor([[-100] * (1 + len(given)) + both[len(given) :]])
        with torch.inference_mode():
            loss = model(
                **tokenizer(prompt.text, return_tensors="pt"),
                decoder_input_ids=torch.tensor([[1, 2, *both[:-1]]]),  # start </s>, then <s>
                labels=labels,
            ).loss
        n_scored = len(both) - len(given)
        assert score.logprob == pytest.approx(-float(loss) * n_scored, abs=1e-4)
        assert score.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert score.tokens == n_scored
    assert engine.identity()["mode"] == "denoising"


def test_denoising_generates_behind_the_repeated_prompt(folders: dict[str, Path]) -> None:
    engine = engine_of(folders, "bart", mode="denoising")
    found = dict(engine.generate(PROMPTS, Sampling(max_tokens=5)))
    model, tokenizer = engine.lm.model, engine.codec.tokenizer
    for i, prompt in enumerate(PROMPTS):
        ids = [1, 2, *tokenizer(prompt.text, add_special_tokens=False)["input_ids"]]
        first = len(ids)
        source = tokenizer(prompt.text, return_tensors="pt")
        for _ in range(found[i].output_tokens):
            with torch.inference_mode():
                logits = model(**source, decoder_input_ids=torch.tensor([ids])).logits
            ids.append(int(logits[0, -1].argmax()))
        text = tokenizer.decode(ids[first:], skip_special_tokens=True)
        assert text.startswith(found[i].text)
        assert found[i].output_tokens


def test_prefix_and_sign_reach_both_sides(folders: dict[str, Path]) -> None:
    engine = engine_of(folders, "t5", prefix="translate: ", newline="|")
    plain = engine_of(folders, "t5")
    sent = "translate: Utterance: wake me up at nine|Intent:"
    assert engine.sent(PROMPTS[0]) == sent
    [(_, found)] = engine.score([(PROMPTS[0], " a\nb")])
    [(_, same)] = plain.score([(Prompt(sent), " a|b")])
    assert found.logprob == same.logprob


def test_tokens_end_with_what_the_tokenizer_adds(folders: dict[str, Path]) -> None:
    for family, back in (("t5", [1]), ("bart", [1]), ("marian", [1]), ("t5gemma", [])):
        engine, text = engine_of(folders, family), "wake  me\tup at nine, am"
        tokens = engine.tokens(Prompt(text))
        assert [t.id for t in tokens] == engine.codec.tokenizer(text)["input_ids"]
        assert [t.id for t in tokens[len(tokens) - len(back) :]] == back
        assert all(text[t.start : t.end] == t.text for t in tokens)
        covered = {i for t in tokens for i in range(t.start, t.end)}
        assert {i for i, c in enumerate(text) if not c.isspace()} <= covered
        assert sum(t.end - t.start for t in tokens) == len(covered)


def test_languages_stand_where_the_tokenizer_puts_them(folders: dict[str, Path]) -> None:
    nllb = engine_of(folders, "m2m_100", source_language="swh_Latn")
    ids = nllb.codec.tokenizer.convert_tokens_to_ids
    assert nllb.tokens(PROMPTS[0])[0].id == ids("swh_Latn")
    assert nllb.identity()["lead"] == [1, ids("deu_Latn")]
    mbart = engine_of(folders, "mbart", source_language="de_DE")
    ids = mbart.codec.tokenizer.convert_tokens_to_ids
    assert [t.id for t in mbart.tokens(PROMPTS[0])[-2:]] == [1, ids("de_DE")]
    assert mbart.identity()["lead"] == [ids("ro_RO")]
    assert mbart.identity() != engine_of(folders, "mbart", target_language="de_DE").identity()


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("t5", {"bos": "never"}, r"bos 'never' is an option of causal models, and .* is an enc"),
        ("t5", {"mode": "clm"}, r"unknown mode 'clm' of model .* There are: default, denoising"),
        (
            "t5",
            {"window": 0},
            "neither config nor tokenizer of .* states its window; set window: N",
        ),
        ("bart", {"window": 129}, "window 129 is not possible for .*; accepted: 1 to 128"),
        ("t5", {"window": -1}, "window -1 is not possible for .*; accepted: 1 to any"),
        ("bart", {"target_language": "de"}, "target_language is 'de', but the tokenizer of this"),
        ("m2m_100", {"target_language": "deu"}, "unknown target_language 'deu'.*deu_Latn"),
        (
            "m2m_100",
            {"target_language": None},
            "generates many languages; name one, .*target_langu",
        ),
        ("m2m_100", {"source_language": "xx"}, "unknown source_language 'xx'"),
    ],
)
def test_wrong_options(folders: dict[str, Path], family: str, options: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        engine_of(folders, family, **options).open()


@pytest.mark.parametrize(
    "options", [{"mode": "denoising"}, {"mode": "default"}, {"target_language": "de_DE"}]
)
def test_options_of_the_other_kind_on_a_causal_model(tiny_model: Path, options: Any) -> None:
    message = r"is an option of encoder-decoder models, and .* is a causal one \(llama\); leave it"
    with pytest.raises(ModelError, match=message):
        HFEngine(str(tiny_model), **options).open()


def test_a_decoder_needs_a_start(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = save_pair(tmp_path, "t5")
    for name in ("config.json", "generation_config.json"):
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(values | {"decoder_start_token_id": None}))
    with pytest.raises(ModelError, match="the config names no decoder_start_token_id, so the dec"):
        HFEngine(str(folder), window=100).open()


def test_speech_models_are_refused(tmp_path: Path, tiny_model: Path) -> None:
    import shutil

    shutil.copytree(tiny_model, tmp_path / "w")
    (tmp_path / "w" / "config.json").write_text('{"model_type": "whisper"}')
    with pytest.raises(ModelError, match=r"model \(whisper\) that transformers does not run from"):
        HFEngine(str(tmp_path / "w")).open()


def test_the_encoder_and_the_decoder_have_windows_of_their_own(folders: dict[str, Path]) -> None:
    engine = engine_of(folders, "bart", window=20)
    assert engine.room(100) == 20  # answers stand apart
    long = Prompt("金曜日" * 9, query_id="r7")
    with pytest.raises(WindowError, match=r"prompt 'r7' has \d+ tokens, .* encoder's window of 20"):
        list(engine.score([(long, "a")]))
    with pytest.raises(WindowError, match=r"prompt 'r7' has \d+ tokens, .* encoder's window of 20"):
        list(engine.generate([long], Sampling(max_tokens=1)))
    with pytest.raises(WindowError, match="max_tokens 127 is over the decoder's window of 128, of"):
        list(engine.generate([Prompt("a")], Sampling(max_tokens=127)))
    assert len(dict(engine.generate([Prompt("a")], Sampling(max_tokens=126)))) == 1
    with pytest.raises(WindowError, match=r"needs \d+ tokens of the decoder, whose window is 128"):
        list(engine.score([(Prompt("a"), "金" * 99)]))
    repeating = engine_of(folders, "bart", mode="denoising")
    assert repeating.room(100) == 128 - 100 - 2


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (["", "a"], "an empty choice"),
        (["a", "a"], "choice 'a' is given twice"),
        (["alarm", " alarm"], "have the same tokens"),
        (["alarm", "  "], "adds no token to the prompt"),
    ],
)
def test_choices_that_cannot_be_told_apart(
    folders: dict[str, Path], choices: list[str], message: str
) -> None:
    with pytest.raises(ChoiceError, match=message):
        list(engine_of(folders, "t5").score([(PROMPTS[0], choice) for choice in choices]))


def test_rows_of_one_text_may_ask_for_choices_of_the_same_tokens(folders: dict[str, Path]) -> None:
    texts = ("alarm", " alarm", "volume")
    rows = [(Prompt("Utterance:", query_id=text), text) for text in texts]
    found = dict(engine_of(folders, "t5").score(rows))
    assert found[0].logprob == found[1].logprob != found[2].logprob


@pytest.mark.parametrize(
    ("family", "options"),
    [("t5", {}), ("t5", {"mode": "denoising"}), ("bart", {"mode": "denoising"}), ("mbart", {}),
     ("marian", {}), ("t5gemma", {})],
)  # fmt: skip
def test_the_contract_of_engines(
    folders: dict[str, Path], family: str, options: dict[str, Any]
) -> None:
    check_engine(engine_of(folders, family, **options))


def test_identity_changes_with_what_changes_answers(folders: dict[str, Path]) -> None:
    base = engine_of(folders, "t5").identity()
    json.dumps(base)
    assert (base["mode"], base["lead"], base["back"]) == ("default", [0], [1])
    for options in ({"mode": "denoising"}, {"prefix": "x"}, {"newline": "|"}, {"window": 99}):
        assert engine_of(folders, "t5", **options).identity() != base, options
    assert engine_of(folders, "t5", cache_bytes=1).identity() == base


def test_dropped_line_breaks_are_told(
    folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    engine_of(folders, "bart").open()
    engine_of(folders, "t5", newline="|").open()
    assert not caplog.records
    engine_of(folders, "t5").open()
    engine_of(folders, "marian").open()
    told = [record.getMessage() for record in caplog.records]
    assert "tokenizer drops line breaks; newline: '<br>' sends a sign for them" in told[0]
    assert any("install sacremoses" in message for message in told[1:])


@pytest.mark.parametrize("mode", ["default", "denoising"])
def test_a_run_from_file_to_scores_and_again(
    folders: dict[str, Path], tmp_path: Path, mode: str
) -> None:
    model = {"source": str(folders["t5"]), "device": "cpu", "window": 300, "mode": mode}
    model |= {"prefix": "[CLM] ", "newline": "|"}
    file = write(tmp_path, models={"t": model})
    done = run(file, tmp_path / "runs")
    assert (done.computed, done.reused) == (40, 0)
    assert {score.name for score in done.scores} >= {"accuracy", "chrf"}
    ranked = [c for c in done.conditions if c.entry.method == "rank"]
    assert all(r.spanning == 0 and len(r.logprobs) == 3 for c in ranked for r in c.records.values())
    again = run(file, tmp_path / "runs")
    assert (again.computed, again.reused) == (0, 40)
    other = write(tmp_path, models={"t": model | {"prefix": "[NLG] "}})
    assert run(other, tmp_path / "runs").computed == 40
