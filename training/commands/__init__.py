"""One module for each sub-command of the offline side."""
