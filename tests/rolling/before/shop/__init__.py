"""The shop as it is before the release."""
