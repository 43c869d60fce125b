"""Choose settings and score from known images alone."""
