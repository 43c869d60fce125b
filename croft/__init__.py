"""The command line that drives both sides."""
