"""What happens to API servers, done to a real one; a mirror of it ends in the server's own state, by itself."""
