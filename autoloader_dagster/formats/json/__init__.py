"""JSON lines and documents: the look at a file, its columns, and how Spark reads it."""
