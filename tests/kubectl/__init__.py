"""kubectl against a mirror and against the API server it mirrors: what it prints must be the same."""
