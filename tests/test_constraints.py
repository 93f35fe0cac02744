"""The file of pinned versions: every package of every extra, in the version installed here."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PYTHONS = ("3.11", "3.12", "3.13")
# They come with the builds of torch for GPUs, and it names their versions itself.
OF_TORCH = ("nvidia-", "cuda-", "triton")


def pins(text: str) -> dict[str, list[Requirement]]:
    """The lines of a file of constraints by the package's name, as pip compares names."""
    found: dict[str, list[Requirement]] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            pin = Requirement(line)
            found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


@cache
def brought(name: str) -> tuple[Requirement, ...] | None:
    """What an installed package requires, in all its extras; None where it is not installed."""
    try:
        return tuple(map(Requirement, distribution(name).requires or []))
    except PackageNotFoundError:
        return None


def needed(requirements: list[str], environment: dict[str, str]) -> Iterator[str]:
    """Names of all packages that requirements bring, through those that are installed here."""
    walked: set[tuple[str, str]] = set()
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        wanted, extra = waiting.pop()
        if wanted.marker and not wanted.marker.evaluate({**environment, "extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        if name == PROJECT["name"]:
            waiting += [(Requirement(line), "") for part in wanted.extras for line in EXTRAS[part]]
            continue
        if name.startswith(OF_TORCH):
            continue
        yield name
        for part in {"", *wanted.extras} - {part for known, part in walked if known == name}:
            walked.add((name, part))
            # None: of an extra that is not installed here, or for another Python.
            waiting += [(each, part) for each in brought(name) or ()]


def unpinned(text: str, requirements: list[str]) -> list[str]:
    """Packages that requirements bring on a supported Python and that no line pins there."""
    lines = pins(text)
    return sorted(
        {
            f"{name} on Python {python}"
            for python in PYTHONS
            for environment in [{"python_version": python, "python_full_version": f"{python}.0"}]
            for name in needed(requirements, environment)
            if not any(
                not pin.marker or pin.marker.evaluate(environment) for pin in lines.get(name, ())
            )
        }
    )


def apart(text: str, requirements: list[str]) -> list[str]:
    """Packages that are installed in another version than the lines say."""
    lines, found = pins(text), []
    for name in sorted(set(needed(requirements, {}))):
        if brought(name) is None:
            continue
        version = distribution(name).version
        here = [pin for pin in lines.get(name, ()) if not pin.marker or pin.marker.evaluate()]
        found += [
            f"{name} {version}, pinned: {pin.specifier}"
            for pin in here
            if not pin.specifier.contains(version, prereleases=True)
        ]
    return found


TEXT = (ROOT / "constraints.txt").read_text("utf-8")
HINT = "write the version that `pip list` shows into constraints.txt"


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_every_package_of_every_extra_is_pinned(extra: str) -> None:
    requirements = EXTRAS[extra] if extra else PROJECT["dependencies"]
    assert not unpinned(TEXT, requirements), HINT


def test_what_is_installed_is_what_is_pinned() -> None:
    everything = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    assert not apart(TEXT, everything), HINT


def test_every_line_pins_one_version() -> None:
    for name, found in pins(TEXT).items():
        for pin in found:
            [one] = pin.specifier
            assert one.operator == "==" and "*" not in one.version, name
    assert all(len(found) == 1 or all(pin.marker for pin in found) for found in pins(TEXT).values())


def test_what_stands_in_no_line_or_another_version_is_found() -> None:
    without = "\n".join(line for line in TEXT.splitlines() if not line.startswith("bitsandbytes=="))
    assert unpinned(without, EXTRAS["quant"]) == [f"bitsandbytes on Python {p}" for p in PYTHONS]
    assert "bitsandbytes on Python 3.11" in unpinned(without, EXTRAS["test-browser"]), "by test"
    beneath = "\n".join(line for line in TEXT.splitlines() if not line.startswith("numpy=="))
    assert "numpy on Python 3.12" in unpinned(beneath, EXTRAS["quant"]), "bitsandbytes' own"
    of_one = TEXT.replace("hypothesis==", 'hypothesis==1; python_version < "3.12"\n#')
    assert unpinned(of_one, ["hypothesis"]) == [f"hypothesis on Python {p}" for p in PYTHONS[1:]]
    [other] = apart(TEXT.replace("pytest==", "pytest==1.0\n#"), EXTRAS["test"])
    assert other.startswith("pytest ") and other.endswith("pinned: ==1.0")
