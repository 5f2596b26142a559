"""What templates of other apps load."""
