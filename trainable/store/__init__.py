"""Arrays on disk: computed once on a node by all that ask for them, then mapped."""
