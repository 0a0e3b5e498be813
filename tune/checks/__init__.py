"""What `python -m tune.doctor` examines, a file a subject."""
