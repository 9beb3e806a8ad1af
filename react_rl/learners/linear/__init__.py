"""Softmax regression on frozen embeddings, its row weights and its calibration."""
