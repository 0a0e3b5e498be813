"""What the frozen prefix makes of images: computed in chunks, cached in the store."""
