"""Detector and recogniser behind their ports, and the run-times that carry them."""
