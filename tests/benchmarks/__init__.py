"""The instrument itself: that what benchtasks says is what it saw."""
