"""The jobs beside the assets, with what they share."""
