"""Direct search: a row scorer is adjusted by the area of whole episodes, in pairs of opposite changes."""
