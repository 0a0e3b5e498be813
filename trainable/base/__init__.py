"""What every room stands on: errors, names that others gave, the names of folds."""
