"""The Toybox: a procedural image source and the small CLIP pretrained on it."""
