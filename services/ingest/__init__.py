"""Vault's recording event -> the clip in the clip store -> `plateflow.clips`."""
