"""Studies of the reference comparison: published claims, few seeds, batch sizes, leave-one-out estimates."""
