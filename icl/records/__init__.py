"""What lies in a run folder, written and read in one place."""
