"""The embedded Spark Connect server: its jars, Java, settings, process and locks."""
