"""The look before the read: what each file is, in plain Python, before Spark sees it."""
