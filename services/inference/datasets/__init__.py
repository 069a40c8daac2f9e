"""Pictures with known plates: one layout, the formats of others, and what is done with them (docs/data.md)."""
