"""The HTML report page of a run."""
