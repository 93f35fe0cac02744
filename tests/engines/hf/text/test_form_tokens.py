"""Answers of tiny models that a form holds, beside free ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icl.core.answer_forms import (
    AnswerForm,
    FormUse,
    choice_form,
    grammar_form,
    json_source_form,
    marked_source_form,
    regex_form,
    schema_form,
)
from icl.core.errors import EngineError, FormError, ModelError
from icl.core.types import Output, Prompt, Sampling
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.text.form_tokens import TokenGuide
from icl.engines.protocol import FormEngine, LenientEngine, RowFailure
from icl.engines.table import TableEngine
from tests.core.test_answer_forms import keeps
from tests.engines.pairs import save_pair

TEXTS = ["wake me up at five", "set the volume to fifty percent", "金曜日の朝九時に起こして"]
FORMS = [
    lambda text: marked_source_form(text, ["time", "place"], unspaced="金" in text, lead=" "),
    lambda text: json_source_form(text, ["time", "place"], unspaced="金" in text, lead=" "),
    lambda text: choice_form([" alarm set", " alarm query", " play music"]),
    lambda text: regex_form("[0-9]{3}-[a-c]{2}", " "),
]
GREEDY = Sampling(max_tokens=120)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> HFEngine:
    return HFEngine(str(tiny_model), device="cpu").load()


def ask(engine: Any, forms: list[AnswerForm | None], sampling: Sampling = GREEDY) -> list[Output]:
    prompts = [
        Prompt(f"Utterance: {text}:", query_id=text, stop=("\n",), form=form)
        for text, form in zip(TEXTS, forms, strict=False)
    ]
    found = list(engine.generate(prompts, sampling))
    ordered = sorted(found, key=lambda pair: (pair[0], pair[1].sample))
    return [output for _, output in ordered]


@contextmanager
def counted(engine: HFEngine) -> Iterator[dict[str, int]]:
    work, found = engine.lm.work, {}
    before = work.calls, work.projected_positions
    yield found
    found |= {"calls": work.calls - before[0], "projected": work.projected_positions - before[1]}


@pytest.mark.parametrize("make", FORMS)
def test_every_answer_keeps_its_own_form(engine: HFEngine, make: Any) -> None:
    forms = [make(text) for text in TEXTS]
    sampled = Sampling(max_tokens=160, temperature=1.5, n=2, seed=3)
    for sampling in (replace(GREEDY, max_tokens=160), sampled):
        made = ask(engine, forms, sampling)
        for place, output in enumerate(made):
            form = forms[place // sampling.n]
            if output.finish == "end":
                assert keeps(form, output.text), output.text
            assert output.form is not None
            assert output.form.steps + output.form.forced >= output.output_tokens
            assert 0 <= output.form.changed <= output.form.steps
        assert any(output.finish == "end" for output in made)


def test_rows_without_a_form_answer_as_if_no_row_had_one(engine: HFEngine) -> None:
    free = ask(engine, [None, None, None], Sampling(max_tokens=20))
    mixed = ask(engine, [None, choice_form([" yes", " no"]), None], Sampling(max_tokens=20))
    assert [mixed[0], mixed[2]] == [free[0], free[2]]
    assert free[0].form is None and mixed[1].text in (" yes", " no")


def test_rows_together_answer_as_each_alone(engine: HFEngine) -> None:
    forms = [FORMS[place](text) for place, text in enumerate(TEXTS)]
    together = ask(engine, forms)
    for place, text in enumerate(TEXTS):
        prompt = Prompt(f"Utterance: {text}:", query_id=text, stop=("\n",), form=forms[place])
        ((_, alone),) = engine.generate([prompt], GREEDY)
        assert alone == together[place]


def test_tokens_without_a_choice_are_not_asked_for(engine: HFEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"wake me up": {"enum": ["alarm", "music"]}},
        "required": ["wake me up"],
        "additionalProperties": False,
    }
    form = schema_form(schema, " ")
    with counted(engine) as work:
        (output,) = ask(engine, [form])
    assert json.loads(output.text)["wake me up"] in ("alarm", "music")
    assert output.form is not None and output.form.forced >= 10
    assert output.form.steps + output.form.forced == output.output_tokens
    # The prompt with what begins every answer, and a pass a choice; none for the rest.
    assert work["calls"] <= output.form.steps
    assert work["projected"] == output.form.steps


def test_an_answer_without_any_choice_needs_no_model(engine: HFEngine) -> None:
    with counted(engine) as work:
        made = ask(engine, [choice_form([" alarm set"])] * 3)
    assert work == {"calls": 0, "projected": 0}
    assert [(one.text, one.finish) for one in made] == [(" alarm set", "end")] * 3
    heard: list[str] = []
    prompt = Prompt("x", form=choice_form([" alarm set"]))
    list(engine.generate([prompt], GREEDY, on_token=lambda _, text: heard.append(text)))
    assert "".join(heard) == " alarm set"


def test_a_choice_that_begins_another_can_be_chosen(engine: HFEngine) -> None:
    vocabulary = engine.form_vocabulary
    end = engine.codec.tokenizer.eos_token_id
    guide = vocabulary.guide(choice_form(["email", "email query"]), ("\n",), "x")
    for token in vocabulary.tokenize("email"):
        guide.accept(token) if guide.allowed()[token] else None
    assert guide.allowed()[end] and guide.ends_by(end)
    (newline,) = vocabulary.tokenize("\n")
    assert guide.allowed()[newline] and guide.ends_by(newline)
    assert not guide.complete, "the other choice goes on"


def test_a_form_longer_than_max_tokens_is_cut_and_says_so(engine: HFEngine) -> None:
    (output,) = ask(engine, [marked_source_form(TEXTS[0], ["x"], lead=" ")], Sampling(max_tokens=4))
    assert (output.finish, output.output_tokens) == ("length", 4)
    (output,) = ask(engine, [choice_form([" alarm set and more"])], Sampling(max_tokens=2))
    assert (output.finish, output.output_tokens) == ("length", 2)


@pytest.mark.parametrize("n", [1, 2])
def test_a_form_that_cannot_be_kept_leaves_out_its_row_alone(engine: HFEngine, n: int) -> None:
    assert isinstance(engine, LenientEngine)
    sampling = Sampling(max_tokens=6, temperature=1.0, n=n)
    forms = [regex_form("[ab]+"), grammar_form("start: x"), regex_form("[cd]+")]
    prompts = [
        Prompt(text, query_id=str(place), form=form)
        for place, (text, form) in enumerate(zip(TEXTS, forms, strict=True))
    ]
    found = list(engine.generate_rows(prompts, sampling))
    failures = [(i, made.message) for i, made in found if isinstance(made, RowFailure)]
    ((place, message),) = failures
    assert place == 1 and message.startswith("prompt 1: the form of its answer cannot be kept")
    kept = [(i, made.sample) for i, made in found if isinstance(made, Output)]
    assert sorted(kept) == [(i, sample) for i in (0, 2) for sample in range(n)]
    assert all(
        set(made.text) <= set("ab" if i == 0 else "cd")
        for i, made in found
        if isinstance(made, Output)
    )
    with pytest.raises(FormError, match="prompt 1: the form"):
        list(engine.generate(prompts, sampling))


def test_a_form_that_breaks_off_later_leaves_out_its_row_alone(
    engine: HFEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = TokenGuide.accept

    def break_off(guide: TokenGuide, token: int) -> None:
        if guide.steps == 3 and guide.name == "1":
            raise FormError("prompt 1: too many items", "1")
        accept(guide, token)

    monkeypatch.setattr(TokenGuide, "accept", break_off)
    prompts = [
        Prompt(text, query_id=str(i), form=regex_form("[ab]{6}")) for i, text in enumerate(TEXTS)
    ]
    found = list(engine.generate_rows(prompts, GREEDY))
    assert sorted(i for i, _ in found) == [0, 1, 2]
    assert [i for i, made in found if isinstance(made, RowFailure)] == [1]


def test_forced_tokens_write_the_text_that_must_follow(engine: HFEngine) -> None:
    vocabulary = engine.form_vocabulary
    for text in (" : five am", "金曜日 🙂", "[time", "é", "\n\n"):
        assert (
            b"".join(vocabulary.texts[i] or b"" for i in vocabulary.tokenize(text)) == text.encode()
        )


def test_how_often_the_form_changed_a_choice_is_counted(engine: HFEngine) -> None:
    one = Sampling(max_tokens=1)
    for letter in "abcdefghijklmnop":
        prompt = Prompt(letter)
        ((_, free),) = engine.generate([prompt], one)
        if len(free.text) == 1 and free.text.isascii() and not free.text.isdigit():
            break
    ((_, same),) = engine.generate([replace(prompt, form=regex_form(r"[\x00-\x7f]+"))], one)
    assert same.text == free.text and same.form == FormUse(steps=1, changed=0, forced=0)
    ((_, other),) = engine.generate([replace(prompt, form=regex_form("[0-9]+"))], one)
    assert other.text.isdigit() and other.form == FormUse(steps=1, changed=1, forced=0)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (grammar_form("start: x"), "unknown name"),
        (regex_form("[^\\s\\S]"), "allows no answer at all"),
    ],
)
def test_a_form_that_cannot_be_kept_is_refused(
    engine: HFEngine, form: AnswerForm, said: str
) -> None:
    with pytest.raises(EngineError, match=said) as caught:
        ask(engine, [form])
    assert "\n" not in str(caught.value) and "icl lint" in str(caught.value)


def test_a_form_and_a_mask_exclude_each_other(engine: HFEngine) -> None:
    class NoLimit:
        def allowed(self, tokens: Any) -> None:
            return None

    with pytest.raises(EngineError, match="give one of the two"):
        prompt = Prompt("x", form=choice_form(["a"]))
        list(engine.generate([prompt], GREEDY, masks=[NoLimit()]))


def test_which_engines_take_forms(engine: HFEngine) -> None:
    assert isinstance(engine, FormEngine) and not isinstance(TableEngine(), FormEngine)
    assert engine.list_forms() == ("choice", "regex", "json_schema", "grammar", "source")


def test_a_slow_tokenizer_is_refused_in_one_line(tmp_path: Path) -> None:
    from icl.engines.hf.text.form_tokens import list_token_bytes

    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match=r"save the model with a fast tokenizer"):
        list_token_bytes(Slow())


def test_token_bytes_are_kept_on_disk(engine: HFEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = engine.form_vocabulary.texts

    def never(tokenizer: Any) -> Any:
        raise AssertionError("read again")

    monkeypatch.setattr("icl.engines.hf.text.form_tokens.list_token_bytes", never)
    again = HFEngine(engine.source, device="cpu").load()
    assert again.form_vocabulary.texts == texts


@pytest.mark.parametrize(
    ("family", "options"),
    [("t5", {"window": 200}), ("bart", {}), ("m2m_100", {"target_language": "deu_Latn"})],
)
def test_the_decoder_of_a_pair_keeps_forms_too(
    tmp_path: Path, family: str, options: dict[str, Any]
) -> None:
    pair = HFEngine(str(save_pair(tmp_path, family)), device="cpu", **options).load()
    forms = [choice_form([" alarm set", " volume set at nine"]), None, regex_form("[ab]{3}")]
    sampled = Sampling(max_tokens=24, temperature=1.0, n=2, seed=1)
    free = ask(pair, [None, None, None], Sampling(max_tokens=24))
    for sampling in (Sampling(max_tokens=24), sampled):
        made = ask(pair, forms, sampling)
        first, last = made[: sampling.n], made[-sampling.n :]
        assert {one.text.strip() for one in first} <= {"alarm set", "volume set at nine"}
        assert all(set(one.text.strip()) <= {"a", "b"} for one in last)
        assert all(one.form is not None for one in first + last)
    assert ask(pair, forms, Sampling(max_tokens=24))[1].text == free[1].text
