"""Fixtures of the tests of this room."""

from __future__ import annotations

from tests.servers import serve

__all__ = ["serve"]
