"""What happened in a search: the truth, in Optuna's storage."""
