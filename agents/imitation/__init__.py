"""Imitation: a row scorer learns from an expert that tries candidates on copies of the learner."""
