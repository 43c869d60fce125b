"""Tests of the Toybox."""
