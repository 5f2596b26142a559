"""What a type checker says of tasks."""
