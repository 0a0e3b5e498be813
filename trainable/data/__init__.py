"""Where images come from, how files are decoded, and how images are split."""
