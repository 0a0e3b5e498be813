"""Networks cut into a frozen prefix and a trained tail, and where their weights come from."""
