"""Clip -> frames -> plates -> tracks -> readings -> `plateflow.tracks` and `plateflow.recordings`."""
