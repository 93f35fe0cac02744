"""The experiment file, its grid, one bound condition, and the request of one row."""
