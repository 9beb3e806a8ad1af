"""Rounds of training and prediction: texts made ready, steps, the optimiser, memory."""
