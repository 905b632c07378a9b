"""Loads that are broken on purpose, and what is left of the data afterwards: nothing less, no more.

``worker`` is a real process that loads; ``site`` has the folders and processes of one case;
``checker`` compares table, files and state, with none of our own code.
"""
