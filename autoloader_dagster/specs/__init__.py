"""Ingestion specs: what a person writes, checked and typed."""
