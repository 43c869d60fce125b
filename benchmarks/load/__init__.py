"""What the measurements of the service share: load, processes, the bare loop."""
