"""Which image is in which split: by content, by groups, in folds."""
