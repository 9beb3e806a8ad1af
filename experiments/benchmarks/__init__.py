"""Benchmarks: measured speed beside peers, each with the command that makes its table."""
