"""The second house: the same rooms as the package, seen by a reader who believes nothing."""
