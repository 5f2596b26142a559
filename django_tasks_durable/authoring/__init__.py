"""The words an author writes tasks in."""
