"""A deterministic simulator: the real engine and the real store, moved step by step by a seeded scheduler."""
