"""The trainable half of the model, on torch: only training imports it."""
