"""Folders that this machine and the Spark server both see, local or mounted."""
