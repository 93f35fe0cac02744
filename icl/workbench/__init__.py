"""One screen as an experiment, without a web."""
