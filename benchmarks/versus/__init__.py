"""Plain Ray Tune beside this project: the same trials, images and cores."""
