"""`plateflow.tracks` -> sightings, passages, and the heatmap and sightings Parquet of every camera."""
