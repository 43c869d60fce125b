"""Few-shot methods to compare CRoFT with, on the same embeddings and with the same budget."""
