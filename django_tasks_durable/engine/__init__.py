"""What happens next in one attempt: replay what is remembered, do what is not, and say how it ended."""
