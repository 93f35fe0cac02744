"""Progress of opening and loading a model, reported to a listener in the same thread.

The loader of transformers counts the weights with a progress bar; its own hook for such bars
(``transformers.utils.logging.set_tqdm_hook``) passes the count on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["count_weights", "tell", "listen"]


_LISTENER: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)
_HOOK = threading.Lock()
"""Transformers has only one hook per process."""


@contextmanager
def listen(listener: Callable[[str], None]) -> Iterator[None]:
    """Call ``listener`` with each step reported in this thread within the block; it must be fast.

    >>> said = []
    >>> with listen(said.append):
    ...     tell("reading its weights")
    >>> tell("to nobody")
    >>> said
    ['reading its weights']
    """
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell(step: str) -> None:
    """Report the current step to the thread's listener, if there is one."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(step)


@contextmanager
def count_weights(step: str) -> Iterator[None]:
    """Report ``step: n of m tensors`` for every bar that transformers shows in this thread.

    Bars of other threads stay as they are, and without a listener all bars do.
    """
    if _LISTENER.get() is None:
        yield
        return
    from transformers.utils.logging import set_tqdm_hook

    mine = threading.get_ident()
    with _HOOK:
        before: Any = None

        def hook(factory: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
            bar = factory(*given, **named) if before is None else before(factory, given, named)
            if threading.get_ident() != mine or not given or not isinstance(given[0], Sized):
                return bar
            return _counted(bar, step, len(given[0]))

        before = set_tqdm_hook(hook)
        try:
            yield
        finally:
            set_tqdm_hook(before)


def _counted(items: Any, step: str, total: int) -> Iterator[Any]:
    for number, item in enumerate(items, 1):
        yield item
        tell(f"{step}: {number} of {total} tensors")
