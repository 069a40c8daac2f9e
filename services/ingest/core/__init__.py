"""Ingest without IO or clock: what a container is, which recordings were announced already."""
