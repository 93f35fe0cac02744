"""The experiment file, the grid it spans, its conditions, and the request of one row."""
