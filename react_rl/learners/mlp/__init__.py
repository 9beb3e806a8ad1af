"""An ensemble of MLP heads on frozen embeddings."""
