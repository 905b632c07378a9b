"""Changes of what is loaded: undo, reload, retry, dismiss."""
