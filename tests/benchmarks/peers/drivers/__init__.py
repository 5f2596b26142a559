"""One driver for each peer: it speaks that peer's own words and is run by the Python of that peer's environment."""
