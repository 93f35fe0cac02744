"""The rules of sampling settings that all engines share."""

from __future__ import annotations

from icl.errors import EngineError
from icl.types import Sampling

__all__ = ["check_sampling"]


def check_sampling(sampling: Sampling) -> None:
    """Refuse settings that have no meaning.

    Raises:
        EngineError: naming the setting, its value and what is accepted.
    """
    accepted = (
        ("max_tokens", sampling.max_tokens >= 1, "1 or more"),
        ("n", sampling.n >= 1, "1 or more"),
        ("temperature", sampling.temperature >= 0, "0 (greedy) or more"),
        ("top_p", 0 < sampling.top_p <= 1, "above 0, up to 1 (all)"),
        ("min_p", 0 <= sampling.min_p <= 1, "0 (all) to 1"),
        ("top_k", sampling.top_k >= 0, "0 (all) or more"),
    )
    for name, good, values in accepted:
        if not good:
            raise EngineError(f"sampling {name} is {getattr(sampling, name)}; accepted: {values}")
    if sampling.n > 1 and sampling.temperature == 0:
        raise EngineError(
            f"sampling n is {sampling.n} with temperature 0, which gives the same output each "
            "time; set temperature above 0, or n to 1"
        )
