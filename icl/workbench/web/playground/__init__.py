"""The tab in which one prompt is edited and answered."""
