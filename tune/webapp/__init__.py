"""The page on which registered models are tried."""
