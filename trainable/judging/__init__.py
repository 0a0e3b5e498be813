"""What predictions are worth: metrics, and how sure they are."""
