"""What of a transformer is trained, and with which weights of an episode's own."""
