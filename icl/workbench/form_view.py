"""The form of the row on the screen: its text, its faults, and what it forbids at each token."""

from __future__ import annotations

from dataclasses import dataclass, replace

from icl.core.answer_forms import AnswerForm, FormKind, FormStep
from icl.core.errors import ConfigError, IclError, join_lines
from icl.core.types import Output
from icl.engines.protocol import FormTracer
from icl.experiment.condition import Condition, Request
from icl.tasks.constraints import check_form

__all__ = ["FormTrace", "FormView", "trace_form", "view_form"]


@dataclass(frozen=True, slots=True)
class FormView:
    """A form as the playground shows it, before a model runs."""

    kind: FormKind
    text: str
    """The expression, the schema, or the grammar in Lark, which a reader may change."""
    error: str | None
    """Its fault, in one line with the place; None if it is valid."""


@dataclass(frozen=True, slots=True)
class FormTrace:
    """An answer that a form held, token by token."""

    output: Output
    steps: tuple[FormStep, ...]


def view_form(request: Request, text: str | None = None) -> FormView | None:
    """Return the form of a request's answer, and whether it is valid; None if it has none.

    Args:
        request: of :meth:`icl.experiment.condition.Condition.request`.
        text: the form as a reader has changed it; None: the row's own.
    """
    form = _form(request, text)
    if form is None:
        return None
    error = None
    try:
        check_form(form, "form")
    except ConfigError as fault:
        error = join_lines(fault)
    except ValueError as fault:  # a schema that is no JSON
        error = f"form: {join_lines(fault)}; write a JSON schema"
    return FormView(form.kind, form.text, error)


def trace_form(
    condition: Condition, request: Request, text: str | None = None, top: int = 5
) -> FormTrace:
    """Answer a request in its form, and tell at each token which likely ones were forbidden.

    Args:
        condition: whose engine and sampling are used.
        request: of this condition.
        text: the form as a reader has changed it; None: the row's own.
        top: the most forbidden tokens that are told at each step.

    Raises:
        IclError: there is no form, it cannot be kept, or the engine tells no steps.
    """
    form = _form(request, text)
    if form is None:
        raise ConfigError("the answer is held to no form; write one, as in `constrain: source`")
    if not isinstance(condition.engine, FormTracer):
        raise IclError(
            "this model does not tell what a form forbids; answer with a model of the engine hf"
        )
    prompt = replace(request.prompt, form=form)
    output, steps = condition.engine.trace_form(prompt, condition.sampling, top)
    return FormTrace(output, tuple(steps))


def _form(request: Request, text: str | None) -> AnswerForm | None:
    form = request.prompt.form
    return form if form is None or text is None else replace(form, text=text, choices=())
