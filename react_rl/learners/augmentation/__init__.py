"""Texts that are made from labelled ones, under the same labels."""
