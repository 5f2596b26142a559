"""The tools that the tests themselves stand on."""
