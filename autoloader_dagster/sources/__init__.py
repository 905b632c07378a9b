"""Places with files: what is there, what changed, and the bytes of exactly one version."""
