"""Tests are found by the room and the module that they test."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ICL = TESTS.parent / "icl"
FILES = sorted(path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))
WHOLE = (
    "benchmarks",
    "constraints",
    "docstrings",
    "document_blocks",
    "documents",
    "families",
    "layout",
    "names",
    "package",
    "witness",
)
"""What tests beside the rooms are about: the project as a whole."""
SUBJECTS = {
    "cli/bad_lines": "command lines that are wrong, each met by one line",
    "cli/hostile": "every verb on data, names and errors that hold control characters",
    "cli/interrupts": "Ctrl+C while libraries are still being read",
    "cli/surrogates": "half characters in rows and feedback, through every verb that prints them",
    "metrics/needs": "metrics that need a program or verdicts, built in and of plug-ins",
    "records/fuzz": "real run folders, broken at random",
    "records/malformed": "run folders broken by hand, each read by each verb",
    "experiment/enrichers": "fields that a task adds to rows, from the loader to the folder",
    "experiment/hints": "dictionary hints and pseudo-shots, from the file to the table",
    "experiment/keys": "entries and json_schema: each key of the file, its meaning and its level",
    "experiment/new_kind": "a kind of task as one plug-in file, from the template to the page",
    "calibrators/formulas": "one table of hand-made numbers for all calibrators",
    "cli/calibrators": "`icl run`, `score` and `show` agree on what calibrators said",
    "cli/cli": "every verb: output, exit codes, one line for a mistake",
    "data/docs": "docs/data.md",
    "data/formats": "packed files, columns and CoNLL, FLORES and NTREX, each reader in small",
    "data/real": "samples and pools, and all readers on real data sets where they are at hand",
    "data/sets": "parallel lines, MASSIVE, and a format of one's own",
    "engines/hf/seq2seq/engine": "an encoder-decoder model behind HFEngine",
    "engines/hf/weights/four_bits": "widths, loading and proof of 4-bit layers",
    "engines/openai/conformance": "what servers do otherwise, one row a quirk; docs/servers.md",
    "engines/openai/docs": "docs/servers.md",
    "engines/openai/faults": "client, errors and ledger when a server fails",
    "engines/openai/live": "llama.cpp's server",
    "engines/openai/money": "client, ledger and run: what is paid for, and keys",
    "engines/openai/ranking": "score, logprobs and capabilities beside the engine in this process",
    "engines/openai/serve": "`transformers serve`",
    "experiment/plugin_consent": "plugins and plugin_files: which code a run folder may start",
    "experiment/selectors_in_runs": "grid, condition and loader with each selector and order",
    "experiment/own_data_docs": "docs/own_data.md",
    "experiment/widths": "the axis `width` from the file to the table",
    "metrics/answers": "the metrics of short answers, which share their cases",
    "metrics/label_sets": "the four metrics of sets of labels, which share their cases",
    "metrics/sacrebleu": "chrF and BLEU beside the command of sacreBLEU",
    "prompts/library": "every template that ships, and docs/prompts.md",
    "records/lost_rows": "store and run when files of a run are cut or replaced",
    "records/run_truth": "store, results and run when engines or data lie",
    "reports/page_parts": "the pieces that the HTML page is made of",
    "reports/report_formats": "Markdown, LaTeX, CSV and JSON of the same reports",
    "reports/studies_docs": "docs/studies.md",
    "running/chat": "chat and reasoning models from the file to the table",
    "running/crash": "a run killed at any step",
    "running/inputs": "files as people bring them, from the experiment file to the score",
    "running/kinds": "the generic tasks from the file to the table",
    "running/search/docs": "docs/search.md",
    "running/search/opened_rows": "search and state: test rows that were opened before",
    "scoring/coverage": "stats, intervals, significance and reliability: how often intervals hold",
    "scoring/calibrated_runs": "calibrators from the file to the table",
    "scoring/strangers_commands": "no program starts that a run folder names",
    "tasks/fields": "the parser of extracted fields, which has many cases",
    "tasks/gold": "gold as the prompt shows it, from the template to the page",
    "tasks/presets": "the four presets name what is registered",
    "workbench/random_screens": "screens drawn at random against their exported experiments",
    "workbench/scores": "scores of the playground against those of `icl run`",
    "workbench/stop": "a stop at every place of a generation",
    "workbench/strangers_runs": "templates of a run folder that somebody sent",
}
"""Test files that are about more or less than one module -> what they are about."""


def subject(path: Path) -> str:
    return (path.parent / path.stem.removeprefix("test_")).as_posix()


def is_module(path: Path) -> bool:
    module = ICL / subject(path)
    return module.with_suffix(".py").is_file() or (module / "__init__.py").is_file()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_test_file_is_named_for_what_it_tests(path: Path) -> None:
    if path.parent == Path("browser"):
        return
    if path.parent == Path():
        assert path.stem.removeprefix("test_") in WHOLE
        return
    assert (ICL / path.parent / "__init__.py").is_file(), f"icl has no room {path.parent}"
    assert is_module(path) != (subject(path) in SUBJECTS), (
        f"tests/{path}: call it after the module that it tests, or list it in SUBJECTS"
    )


def test_no_subject_is_listed_that_has_no_file() -> None:
    assert set(SUBJECTS) <= {subject(path) for path in FILES}
