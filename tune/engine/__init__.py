"""Ray runs the trials: from a config to a registered model."""
