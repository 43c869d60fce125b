"""What training and serving must agree on: image, embedding, decision, bundle."""
