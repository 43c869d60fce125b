"""Damaged images and requests, and a client that sends them."""
