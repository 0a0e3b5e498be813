"""Image files decoded: what is read, how, and what becomes of files that cannot be."""
