"""Packaged configs: YAML files that `react-rl train` and `react-rl compare` take by name."""
