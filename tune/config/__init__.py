"""What a search is: its keys, its space, and reading both from YAML and the command line."""
