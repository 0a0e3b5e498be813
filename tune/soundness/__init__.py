"""Is the data sound: what is known of the images themselves, before and after a search."""
