"""The pure part of inference: tracker, vote, evaluation. No IO, no clock."""
