"""What ``benchtasks`` measures, where, and what it holds the figures against."""
