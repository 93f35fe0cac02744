"""Everything that runs a model: run, judge, estimate, try, search."""
