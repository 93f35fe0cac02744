"""Everything for a reader: tables, prose, the HTML page, LaTeX, CSV, JSON, exported Python."""
