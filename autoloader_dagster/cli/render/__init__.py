"""What the command line shows of each result: its JSON and its table, described once."""
