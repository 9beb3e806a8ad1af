"""The configs of the commands."""
