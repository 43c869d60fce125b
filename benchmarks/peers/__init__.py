"""Other ways to serve the same model, as their own documentation recommends."""
