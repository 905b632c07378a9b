"""Iceberg tables: columns, commits, branches, history, and questions about the rows."""
