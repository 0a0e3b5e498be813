"""What a search came to, as figures, a page and PNG files."""
