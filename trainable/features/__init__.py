"""What the frozen prefix makes of images: computed in chunks, stored once a node."""
