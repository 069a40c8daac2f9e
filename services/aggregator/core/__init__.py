"""The pure part of the aggregator: deduplication, passages, homography, grid. No IO, no clock."""
