"""The tab Compare, in which up to four settings answer the same rows."""
