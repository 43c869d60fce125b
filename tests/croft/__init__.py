"""Tests of the croft command."""
