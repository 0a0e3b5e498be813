"""The figures that Optuna makes, or that show what it does: of trials, and of searched keys."""
