"""Seeded k-means, which features, batches and strategies share."""
