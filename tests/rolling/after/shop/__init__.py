"""The shop as it is after the release."""
