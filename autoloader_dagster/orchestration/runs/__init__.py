"""Runs: how they are launched, locked, found lost and reported late."""
