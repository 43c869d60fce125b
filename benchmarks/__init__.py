"""Measurements, not tests: never collected by pytest, never imported by the packages."""
