"""Query strategies, one module for each idea; the registry above gives them their names."""
