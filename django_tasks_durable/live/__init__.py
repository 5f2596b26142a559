"""What tells others, live, that something has changed."""
