"""Image lists, images, packs, and the embedded world."""
