"""How scores become a batch: top rows, greedy weighted picks, one row from each cluster."""
