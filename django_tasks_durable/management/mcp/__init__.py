"""What an assistant is shown of tasks over the Model Context Protocol, on behalf of a user."""
