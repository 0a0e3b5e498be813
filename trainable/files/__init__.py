"""Files that are whole at any moment, in a folder or in a bucket."""
