"""A user's own ``config.yaml``: settings of the machine that change no answer, for all experiments.

They are in no fingerprint, so records stay the same whatever stands here.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, model_validator

from icl.core.errors import ConfigError, join_lines
from icl.core.strict_yaml import find_line, find_odd_value, load_yaml
from icl.experiment.entries import Rare, StrictEntry, Usual, validate

__all__ = [
    "CONFIG_KEYS",
    "ConfigEntry",
    "EngineConfigEntry",
    "UserConfig",
    "describe_config",
    "find_config_file",
    "find_machine_keys",
    "read_user_config",
]


class PriceEntry(StrictEntry):
    """Price of a million tokens, in any unit of money."""

    input: Usual[float] = Field(ge=0)
    """Of prompts."""
    output: Usual[float] = Field(ge=0)
    """Of answers."""


class EngineConfigEntry(StrictEntry):
    """Settings of an engine that change no answer; under ``models`` they are those of one model."""

    cache_bytes: Rare[int | None] = Field(default=None, ge=1)
    """Models in this process: most bytes for keys and values of the choices scored at once."""
    check_memory: Rare[bool | None] = None
    """Models in this process: whether one that cannot fit into memory is refused unread."""
    timeout_s: Usual[float | None] = Field(default=None, gt=0)
    """Servers: most seconds for one whole answer."""
    concurrency: Usual[int | None] = Field(default=None, ge=1)
    """Servers: most requests at the same time."""
    requests_per_minute: Rare[float | None] = Field(default=None, gt=0)
    """Servers: most requests started in a minute."""
    retries: Rare[int | None] = Field(default=None, ge=0)
    """Servers: most retries of a request that failed for a reason that may pass."""
    backoff_s: Rare[float | None] = Field(default=None, ge=0)
    """Servers: longest pause before the first retry, in seconds; it doubles with each retry."""
    max_cost: Usual[float | None] = Field(default=None, gt=0)
    """Servers: most money that the answers may cost; only under ``models``."""
    price: Usual[PriceEntry | None] = None
    """Servers: price of a million tokens, ``{input: 0.15, output: 0.60}``; only under
    ``models``."""


class ConfigEntry(EngineConfigEntry):
    """The whole file; what an experiment file or an option says comes first."""

    batch_size: Usual[int | None] = Field(default=None, ge=1)
    """Examples in a batch, the unit of commit; by default as many as fit into memory, up to 64."""
    models: Usual[dict[str, EngineConfigEntry]] = {}
    """Settings of one model, by its ``source`` or by its ``model`` on a server."""

    @model_validator(mode="before")
    @classmethod
    def _price_of_one(cls, value: Any) -> Any:
        for key in _OF_A_MODEL if isinstance(value, dict) else ():
            if key in value:
                raise ValueError(
                    f"{key!r} is that of one model; write it under models, as in "
                    "`models: {gpt-4o-mini: {price: {input: 0.15, output: 0.60}, max_cost: 2}}`"
                )
        return value


_OF_A_MODEL = ("max_cost", "price")
"""Keys that make no sense for all models at once; an experiment file is their home as well."""
CONFIG_KEYS = tuple(name for name in ConfigEntry.model_fields if name not in _OF_A_MODEL)
"""The keys at the top of the file."""
_ENGINE_KEYS = {
    "hf": ("cache_bytes", "check_memory"),
    "openai": (
        "timeout_s",
        "concurrency",
        "requests_per_minute",
        "retries",
        "backoff_s",
        "max_cost",
        "price",
    ),
}
"""Engine -> the keys that it takes; none of them is in its identity."""


@dataclass(frozen=True)
class UserConfig:
    """The settings of a user's file; all are absent where there is none."""

    path: Path | None = None
    """The file they come from; None if there is none."""
    batch_size: int | None = None
    engines: Mapping[str, Any] = field(default_factory=dict)
    """Settings of all models, by key."""
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Source or server's name of a model -> its own settings, by key."""

    def fill(self, options: Mapping[str, Any], engine: str) -> dict[str, Any]:
        """Return a model's options with those of this file that it does not set itself.

        >>> UserConfig(engines={"retries": 2}).fill({"source": "http://x/v1"}, "openai")
        {'source': 'http://x/v1', 'retries': 2}
        """
        found = dict(self.engines)
        for name in (options.get("source"), options.get("model")):
            if isinstance(name, str):
                found |= self.models.get(name, {})
        taken = _ENGINE_KEYS.get(engine, ()) if isinstance(engine, str) else ()
        return {**options, **{k: v for k, v in found.items() if k in taken and k not in options}}


def find_config_file(platform: str = sys.platform) -> Path | None:
    """Return where a user's file is looked for: ``$ICL_CONFIG``, or the platform's folder.

    That folder is ``icl`` in ``$XDG_CONFIG_HOME`` (else ``~/.config``), on Windows in
    ``%APPDATA%``, on a Mac in ``~/Library/Application Support``. None if ``ICL_CONFIG`` is set to
    nothing.
    """
    chosen = os.environ.get("ICL_CONFIG")
    if chosen is not None:
        return Path(chosen).expanduser() if chosen else None
    return _platform_folder(platform, os.environ) / "icl" / "config.yaml"


def _platform_folder(platform: str, environment: Mapping[str, str]) -> Path:
    if platform == "win32":
        return Path(environment.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    chosen = environment.get("XDG_CONFIG_HOME", "")
    return Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".config"


def read_user_config() -> UserConfig:
    """Read a user's file, if there is one.

    Raises:
        ConfigError: the file cannot be read, or a key or value in it is wrong; one line with the
            file, the line, and what is accepted.
    """
    path = find_config_file()
    if path is None:
        return UserConfig()
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError as error:
        if "ICL_CONFIG" not in os.environ:
            return UserConfig()
        raise ConfigError(
            f"{path}: no such file, and ICL_CONFIG names it; write it, or unset ICL_CONFIG"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read as UTF-8 text: {join_lines(error)}; a config is a YAML file"
        ) from error
    return _parse(text, path)


def _parse(text: str, path: Path) -> UserConfig:
    try:
        raw = load_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = join_lines(str(getattr(error, "problem", None) or error))
        at = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{at}: not YAML: {problem}") from error
    if raw is None:
        return UserConfig(path)
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}:1: a config is `key: value` lines; accepted keys: {_accepted()}")
    odd = find_odd_value(raw)
    try:
        if odd:
            raise ConfigError(odd)
        entry: ConfigEntry = validate(ConfigEntry, raw, "config")
    except ConfigError as error:
        told = join_lines(error).removeprefix("config: ").removeprefix(": ")
        known = (
            "" if "There are:" in told or "write it" in told else f"; accepted keys: {_accepted()}"
        )
        raise ConfigError(f"{path}:{find_line(text, told) or 1}: {told}{known}") from error
    given = entry.model_dump(exclude_none=True, exclude={"batch_size", "models"})
    own = {name: one.model_dump(exclude_none=True) for name, one in entry.models.items()}
    return UserConfig(path, entry.batch_size, given, own)


def _accepted() -> str:
    return ", ".join(sorted(CONFIG_KEYS))


def describe_config() -> str:
    """Describe a user's file: where it lies, and each key with its meaning and its value there.

    Raises:
        ConfigError: the file is wrong.
    """
    path, found = find_config_file(), read_user_config()
    if path is None:
        head = "no config.yaml is read, since ICL_CONFIG is empty; unset it to use yours"
    else:
        head = f"{path}" if found.path else f"{path}  (not there; write it to set one of these)"
    lines = [head]
    given = {"batch_size": found.batch_size, **found.engines}
    own = {f"models.{name}": values for name, values in found.models.items()}
    for name in sorted(CONFIG_KEYS, key=lambda key: key != "batch_size"):
        if name != "models":
            value = "" if given.get(name) is None else f" = {given[name]}"
            described = str(ConfigEntry.model_fields[name].description)
            lines += ["", f"{name}{value}", *_folded(described)]
    lines += ["", "models", *_folded(str(ConfigEntry.model_fields["models"].description))]
    lines += [
        f"    {name}.{key} = {value}" for name, one in own.items() for key, value in one.items()
    ]
    for name in _OF_A_MODEL:
        lines += ["", f"models.NAME.{name}"]
        lines += _folded(str(EngineConfigEntry.model_fields[name].description))
    return "\n".join(lines)


def _folded(text: str) -> list[str]:
    plain = " ".join(text.replace("``", "").split())
    return textwrap.wrap(plain, 76, initial_indent="    ", subsequent_indent="    ")


def find_machine_keys(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of an experiment file that belong to the machine: ``batch_size`` and its kind.

    >>> list(find_machine_keys({"models": {"g": {"source": "x", "cache_bytes": 9}}}))
    ['models.g.cache_bytes']
    """
    if raw.get("batch_size") is not None:
        yield "batch_size"
    for name, options in raw["models"].items():
        for key in _ENGINE_KEYS.get(str(options.get("engine", "hf")), ()):
            if key in options and key not in _OF_A_MODEL:
                yield f"models.{name}.{key}"
