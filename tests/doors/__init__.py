"""The doors: what people and programs see and may do."""
