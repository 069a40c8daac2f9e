"""`plateflow ...`: every command that a person types."""
