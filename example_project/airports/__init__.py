"""The main job: import the world's airports, durably."""
