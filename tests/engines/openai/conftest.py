"""Servers for the tests of this folder."""

from __future__ import annotations

from tests.servers import serve

__all__ = ["serve"]
