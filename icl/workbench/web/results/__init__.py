"""The tab Results, in which the records of finished runs are read."""
