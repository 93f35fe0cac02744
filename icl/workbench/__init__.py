"""The workbench without its page: one screen as an experiment, and what became of it."""
