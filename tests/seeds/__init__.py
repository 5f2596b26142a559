"""The seed checklist: one row per behaviour of the four systems that this project grew from."""
