"""The HTTP service: classifies images with bundles and refuses the unknown."""
