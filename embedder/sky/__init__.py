"""Two surveys of one's own, matched on the sky into a dataset. Loads no model library."""
