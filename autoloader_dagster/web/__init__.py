"""Dagster's web server behind a guard against other people's web pages, as ``up`` starts it."""
