"""The workbench without its web page: the playground's settings, answers, runs and files."""
