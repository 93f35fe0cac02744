"""The tab in which the records of finished runs are read."""
