"""What to try next, and which trials go on."""
