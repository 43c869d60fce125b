"""Every method and every score on the same images: what to train on, judging, and the results."""
