"""The one reader: what every door shows of a run. Nothing here writes."""
