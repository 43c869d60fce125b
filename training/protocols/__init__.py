"""The evaluation protocols of the CRoFT paper: from a folder of data sets to trials."""
