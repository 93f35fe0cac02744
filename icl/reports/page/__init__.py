"""The HTML page of a run and what is on it."""
