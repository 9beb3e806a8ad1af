"""The fine-tuning benchmark: the same training in small-text, in transformers' Trainer and here."""
