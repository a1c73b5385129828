"""The port to persistence."""
