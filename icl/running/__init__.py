"""Everything that asks a model: run, judge, estimate, try, search."""
