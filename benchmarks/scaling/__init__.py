"""What scale.py measures: the driver by itself, and nodes whose trials sleep."""
