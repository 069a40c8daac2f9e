"""Stand-ins for the world outside: Vault, cameras, a broker. For the demo, tests and load."""
