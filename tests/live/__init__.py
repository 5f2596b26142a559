"""What is told to programs while it happens."""
