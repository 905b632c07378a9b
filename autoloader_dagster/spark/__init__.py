"""Spark Connect: the embedded server, its jars and Java, and sessions on it or on a cluster's."""
