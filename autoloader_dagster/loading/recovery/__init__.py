"""Brings state and table together after crashes, rollbacks, renames and losses."""
