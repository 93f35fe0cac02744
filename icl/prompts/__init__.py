"""Prompts: parsing ``.j2`` files, rendering them, and turning prompts into text or chat turns."""
