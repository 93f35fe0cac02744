"""What is made of a run for others to read: pages, figures, files."""
