"""Running comparisons, trainings and imitations, and what they leave on disk."""
