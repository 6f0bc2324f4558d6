"""The knowledge base: scenarios by language, in a fixed order."""
