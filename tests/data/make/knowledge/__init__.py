"""The knowledge base: one module per field of medicine and language, each with its `SCENARIOS`."""
