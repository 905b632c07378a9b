"""The ``autoloader`` command: each command parses, calls and prints."""
