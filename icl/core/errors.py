"""The exceptions: all expected ones share one root, which the command line prints in one line.

::

    IclError
    ├── ConfigError        experiment file: unknown key or name, wrong value
    │   └── CommandError   a program that a run folder names and nobody allowed
    ├── DataError          data file missing or malformed (file and line)
    ├── TemplateError      template file malformed, or a variable that is not there
    │   └── LeakError      an input half reads the answer
    ├── ChoiceError        choices that are empty, doubled or equal
    ├── WindowError        a prompt longer than the model's window
    ├── ModelError         a model that cannot be found, checked or loaded
    ├── EngineError        a model that cannot answer
    │   ├── OutOfMemory    a batch too large for the device; it is halved and tried again
    │   ├── FormError      the form of one answer, which cannot be kept
    │   └── CostError      the money that a model entry allows is spent
    ├── ParseError         an output that a parser cannot read; counted, never dropped
    ├── MetricError        a metric that is not defined for these rows
    ├── CalibrationError   a calibrator that cannot be applied to these records
    ├── StoreError         run folder: no room, corrupt, unreadable
    │   └── BusyError      another process writes to this run
    └── StoppedError       the user ended the work early; what is finished is saved
"""

from __future__ import annotations

__all__ = [
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
    "join_lines",
]


class IclError(Exception):
    """Root of every error that is not a bug of icl itself; its text says what repairs it."""


class ConfigError(IclError):
    """The experiment file or a name in it is wrong."""


class CommandError(ConfigError):
    """A run folder names a program that the user has not allowed to be started."""


class DataError(IclError):
    """A data file is missing or malformed."""


class TemplateError(IclError):
    """A template file is malformed or reads a variable that is not there."""


class LeakError(TemplateError):
    """The input part of a template reads the answer."""


class ChoiceError(IclError):
    """The choices of a ranking task cannot be distinguished."""


class WindowError(IclError):
    """A prompt does not fit the model's window."""


class ModelError(IclError):
    """A model cannot be found, checked or loaded."""


class EngineError(IclError):
    """A loaded model cannot answer a request."""


class OutOfMemory(EngineError):
    """A batch needs more memory than the device has."""


class FormError(EngineError):
    """The form of one row's answer cannot be met; other rows can be answered."""

    def __init__(self, message: str, query_id: str) -> None:
        super().__init__(message)
        self.query_id = query_id
        """Of the prompt whose form it is."""


class CostError(EngineError):
    """The next request could cost more than ``max_cost`` leaves; finished records stay saved."""


class ParseError(IclError):
    """An output that cannot be read as an answer; the short reason is saved with the prediction."""


class MetricError(IclError):
    """A metric is not defined for these rows."""


class CalibrationError(IclError):
    """A calibrator lacks what it needs, or cannot be applied to these records."""


class StoreError(IclError):
    """A run folder cannot be read or written."""


class BusyError(StoreError):
    """Another process writes to the same run."""


class StoppedError(IclError):
    """The user ended the work early; finished batches are saved."""


def join_lines(error: BaseException | str) -> str:
    """Return an error's text on one line, as the command line prints it."""
    return " ".join(str(error).split())
