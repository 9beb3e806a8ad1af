"""Explaining a policy: its weights, what drives it, its typical picks, a formula that comes near it."""
