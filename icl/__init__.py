"""A workbench for in-context learning: few-shot prompts on your own models, scored.

>>> from icl import run
>>> run("experiments/quickstart.yaml").frame()                          # doctest: +SKIP

This is the only module that users and plug-ins import from; the place of a name inside the package
may change. A module is imported when one of its names is first used, so that
``import icl`` alone takes milliseconds and loads no library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors; a test compares it with the table below
    from icl.calibrators import Answers, CalibratedScores, Calibrator, Probe
    from icl.core.answer_forms import (
        AnswerForm,
        FormStep,
        FormUse,
        add_intent,
        choice_form,
        grammar_form,
        json_source_form,
        marked_source_form,
        regex_form,
        schema_form,
    )
    from icl.core.bio import find_chunks, find_spans, read_marks, tag_spans, write_marks
    from icl.core.errors import (
        BusyError,
        CalibrationError,
        ChoiceError,
        CommandError,
        ConfigError,
        CostError,
        DataError,
        EngineError,
        FormError,
        IclError,
        LeakError,
        MetricError,
        ModelError,
        OutOfMemory,
        ParseError,
        StoppedError,
        StoreError,
        TemplateError,
        WindowError,
    )
    from icl.core.kinds import Kind
    from icl.core.registry import register
    from icl.core.slot_answers import SlotAnswer, SlotSource, read_slot_answer, write_slot_answer
    from icl.core.stats import Metric, Stats, aggregate, mean, proportion, score
    from icl.core.types import (
        Choice,
        ChoiceScore,
        Example,
        Output,
        Prediction,
        Prompt,
        Record,
        Sampling,
        Score,
        Shot,
        Token,
    )
    from icl.data.spec import DataSpec
    from icl.engines.contract import check_engine
    from icl.engines.ledger import RemoteEngine
    from icl.engines.protocol import (
        BudgetEngine,
        ClosableEngine,
        Constrains,
        CountingEngine,
        EmbeddingEngine,
        Engine,
        ForecastEngine,
        FormEngine,
        FormTracer,
        InProcessEngine,
        InspectableEngine,
        LenientEngine,
        LoadableEngine,
        LocalEngine,
        ProvenEngine,
        RenderingEngine,
        RowFailure,
        TokenMask,
        TokenWork,
    )
    from icl.engines.table import TableEngine
    from icl.experiment.file import load_experiment
    from icl.experiment.grid import Experiment
    from icl.experiment.table_starter import Guess, TableStarter, start_from_table
    from icl.prompts.row_expressions import RowExpressions
    from icl.records.results import ConditionResult, Run, load_run
    from icl.reports.export_python import export
    from icl.reports.page.page import report_page
    from icl.running.run import run
    from icl.running.search.search import search
    from icl.scoring.against import compare_against
    from icl.scoring.blind_ab import preference_rows, read_verdicts, tally_verdicts
    from icl.scoring.checks import Finding, checks
    from icl.scoring.compare import Comparison, compare
    from icl.scoring.ensembles import ensemble
    from icl.scoring.form_share import FormShare, measure_forms
    from icl.scoring.locale_slices import LocaleSlice, LocaleSlices, slice_run
    from icl.scoring.reliability import Reliability, reliability
    from icl.scoring.scores import score_run
    from icl.scoring.sensitivity import Spread, Stability, groups, rank_stability, spreads
    from icl.scoring.slices import Slice, slices
    from icl.scoring.slot_scores import (
        SlotConfusion,
        SlotPair,
        SlotRow,
        SlotScore,
        confuse_slots,
        join_match,
        list_slot_rows,
        pair_spans,
        score_slots,
    )
    from icl.selectors import Selector
    from icl.tasks import Enricher, Task
    from icl.tasks.generic import CHOOSE, CLASSIFY, EXTRACT, GENERATE, LABELS
    from icl.tasks.intent import INTENT
    from icl.tasks.slots import SLOTS, find_lexicon_slots
    from icl.tasks.summarization import SUMMARIZATION
    from icl.tasks.translation import TRANSLATION

__all__ = [
    "AnswerForm",
    "Answers",
    "BudgetEngine",
    "BusyError",
    "CHOOSE",
    "CLASSIFY",
    "CalibratedScores",
    "CalibrationError",
    "Calibrator",
    "Choice",
    "ChoiceError",
    "ChoiceScore",
    "ClosableEngine",
    "CommandError",
    "Comparison",
    "ConditionResult",
    "ConfigError",
    "Constrains",
    "CostError",
    "CountingEngine",
    "DataError",
    "DataSpec",
    "EXTRACT",
    "EmbeddingEngine",
    "Engine",
    "EngineError",
    "Enricher",
    "Example",
    "Experiment",
    "Finding",
    "ForecastEngine",
    "FormEngine",
    "FormError",
    "FormShare",
    "FormStep",
    "FormTracer",
    "FormUse",
    "GENERATE",
    "Guess",
    "INTENT",
    "IclError",
    "InProcessEngine",
    "InspectableEngine",
    "Kind",
    "LABELS",
    "LeakError",
    "LenientEngine",
    "LoadableEngine",
    "LocalEngine",
    "LocaleSlice",
    "LocaleSlices",
    "Metric",
    "MetricError",
    "ModelError",
    "OutOfMemory",
    "Output",
    "ParseError",
    "Prediction",
    "Probe",
    "Prompt",
    "ProvenEngine",
    "Record",
    "Reliability",
    "RemoteEngine",
    "RenderingEngine",
    "RowExpressions",
    "RowFailure",
    "Run",
    "SLOTS",
    "SUMMARIZATION",
    "Sampling",
    "Score",
    "Selector",
    "Shot",
    "Slice",
    "SlotAnswer",
    "SlotConfusion",
    "SlotPair",
    "SlotRow",
    "SlotScore",
    "SlotSource",
    "Spread",
    "Stability",
    "Stats",
    "StoppedError",
    "StoreError",
    "TRANSLATION",
    "TableEngine",
    "TableStarter",
    "Task",
    "TemplateError",
    "Token",
    "TokenMask",
    "TokenWork",
    "WindowError",
    "add_intent",
    "aggregate",
    "check_engine",
    "checks",
    "choice_form",
    "compare",
    "compare_against",
    "confuse_slots",
    "ensemble",
    "export",
    "find_chunks",
    "find_lexicon_slots",
    "find_spans",
    "grammar_form",
    "groups",
    "join_match",
    "json_source_form",
    "list_slot_rows",
    "load_experiment",
    "load_run",
    "marked_source_form",
    "mean",
    "measure_forms",
    "pair_spans",
    "preference_rows",
    "proportion",
    "rank_stability",
    "read_marks",
    "read_slot_answer",
    "read_verdicts",
    "regex_form",
    "register",
    "reliability",
    "report_page",
    "run",
    "schema_form",
    "score",
    "score_run",
    "score_slots",
    "search",
    "slice_run",
    "slices",
    "spreads",
    "start_from_table",
    "tag_spans",
    "tally_verdicts",
    "write_marks",
    "write_slot_answer",
]

EXPORTS = {
    "icl.calibrators": ("Answers", "CalibratedScores", "Calibrator", "Probe"),
    "icl.core.errors": (
        "BusyError",
        "CalibrationError",
        "ChoiceError",
        "CommandError",
        "ConfigError",
        "CostError",
        "DataError",
        "EngineError",
        "FormError",
        "IclError",
        "LeakError",
        "MetricError",
        "ModelError",
        "OutOfMemory",
        "ParseError",
        "StoppedError",
        "StoreError",
        "TemplateError",
        "WindowError",
    ),
    "icl.core.answer_forms": (
        "AnswerForm",
        "FormStep",
        "FormUse",
        "add_intent",
        "choice_form",
        "grammar_form",
        "json_source_form",
        "marked_source_form",
        "regex_form",
        "schema_form",
    ),
    "icl.core.registry": ("register",),
    "icl.core.stats": ("Metric", "Stats", "aggregate", "mean", "proportion", "score"),
    "icl.core.types": (
        "Choice",
        "ChoiceScore",
        "Example",
        "Output",
        "Prediction",
        "Prompt",
        "Record",
        "Sampling",
        "Score",
        "Shot",
        "Token",
    ),
    "icl.data.spec": ("DataSpec",),
    "icl.engines.contract": ("check_engine",),
    "icl.engines.ledger": ("RemoteEngine",),
    "icl.engines.protocol": (
        "BudgetEngine",
        "ClosableEngine",
        "Constrains",
        "CountingEngine",
        "EmbeddingEngine",
        "Engine",
        "ForecastEngine",
        "FormEngine",
        "FormTracer",
        "InProcessEngine",
        "InspectableEngine",
        "LenientEngine",
        "LoadableEngine",
        "LocalEngine",
        "ProvenEngine",
        "RenderingEngine",
        "RowFailure",
        "TokenMask",
        "TokenWork",
    ),
    "icl.engines.table": ("TableEngine",),
    "icl.experiment.file": ("load_experiment",),
    "icl.experiment.grid": ("Experiment",),
    "icl.experiment.table_starter": ("Guess", "TableStarter", "start_from_table"),
    "icl.prompts.row_expressions": ("RowExpressions",),
    "icl.records.results": ("ConditionResult", "Run", "load_run"),
    "icl.reports.export_python": ("export",),
    "icl.reports.page.page": ("report_page",),
    "icl.running.run": ("run",),
    "icl.running.search.search": ("search",),
    "icl.scoring.against": ("compare_against",),
    "icl.scoring.blind_ab": ("preference_rows", "read_verdicts", "tally_verdicts"),
    "icl.scoring.checks": ("Finding", "checks"),
    "icl.scoring.compare": ("Comparison", "compare"),
    "icl.scoring.ensembles": ("ensemble",),
    "icl.scoring.form_share": ("FormShare", "measure_forms"),
    "icl.scoring.reliability": ("Reliability", "reliability"),
    "icl.scoring.scores": ("score_run",),
    "icl.scoring.slot_scores": (
        "SlotConfusion",
        "SlotPair",
        "SlotRow",
        "SlotScore",
        "confuse_slots",
        "join_match",
        "list_slot_rows",
        "pair_spans",
        "score_slots",
    ),
    "icl.core.slot_answers": ("SlotAnswer", "SlotSource", "read_slot_answer", "write_slot_answer"),
    "icl.core.bio": ("find_chunks", "find_spans", "read_marks", "tag_spans", "write_marks"),
    "icl.scoring.locale_slices": ("LocaleSlice", "LocaleSlices", "slice_run"),
    "icl.scoring.sensitivity": ("Spread", "Stability", "groups", "rank_stability", "spreads"),
    "icl.scoring.slices": ("Slice", "slices"),
    "icl.selectors": ("Selector",),
    "icl.tasks": ("Enricher", "Task"),
    "icl.core.kinds": ("Kind",),
    "icl.tasks.generic": ("CHOOSE", "CLASSIFY", "EXTRACT", "GENERATE", "LABELS"),
    "icl.tasks.slots": ("SLOTS", "find_lexicon_slots"),
    "icl.tasks.intent": ("INTENT",),
    "icl.tasks.translation": ("TRANSLATION",),
    "icl.tasks.summarization": ("SUMMARIZATION",),
}
"""Module -> the public names that it holds."""
_MODULE_OF = {name: module for module, names in EXPORTS.items() for name in names}

if not TYPE_CHECKING:  # else type checkers would take any name for a public one

    def __getattr__(name: str) -> Any:
        """Import a public name from the module that it lives in.

        Raises:
            AttributeError: there is no such name.
        """
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the public names, loaded or not, behind those that are there."""
        return sorted({*globals(), *__all__})
