"""One batch from claim to record."""
