"""What a user installs: the sdist, the wheel made of it, and a project on each line that it is for."""
