"""The report about a comparison, as a page and as text."""
