"""Values of each setting in a run, and the baseline value to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from icl.core.errors import ConfigError
from icl.core.registry import did_you_mean
from icl.experiment.differences import name_place
from icl.experiment.renamed import describe_unknown_setting

__all__ = ["pick_baseline", "join_axes", "collect_values"]


def join_axes(axes: Mapping[str, str], between: str = " ") -> str:
    """Name a condition by its values on the grid's axes; empty ones are left out.

    >>> join_axes({"prompt": "intent/plain", "locale": "", "shots": "8 bm25"})
    'intent/plain 8 bm25'
    """
    return between.join(name_place(axis, word) for axis, word in axes.items() if word)


def collect_values(found: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """Collect every setting with its values, in their order.

    >>> collect_values([{"prompt": "a", "k": "0"}, {"prompt": "b", "k": "0"}])
    {'prompt': ['a', 'b'], 'k': ['0']}
    """
    values: dict[str, dict[str, None]] = {}
    for settings in found:
        for name, value in settings.items():
            values.setdefault(name, {})[value] = None
    return {name: list(several) for name, several in values.items()}


def pick_baseline(
    values: Mapping[str, Sequence[str]], setting: str, baseline: str | None, where: str
) -> str:
    """Return the value of a setting to compare with: the requested one, or else the first.

    Raises:
        ConfigError: an unknown setting or value, or a setting with only one value.
    """
    if setting not in values:
        raise ConfigError(f"{where}: {describe_unknown_setting(setting, values)}")
    known = values[setting]
    if len(known) < 2:
        varied = ", ".join(name for name, several in values.items() if len(several) > 1)
        raise ConfigError(
            f"{where}: {setting} is {known[0]!r} wherever there is one, so there is nothing to "
            f"compare; what differs: {varied or 'nothing'}"
        )
    if baseline is None:
        return known[0]
    if baseline not in known:
        raise ConfigError(f"{where}: no {setting} {baseline!r}{did_you_mean(baseline, known)}")
    return baseline
