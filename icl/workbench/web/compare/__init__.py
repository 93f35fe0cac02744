"""The tab in which up to four settings answer the same rows."""
