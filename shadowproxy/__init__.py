"""Shadow-traffic proxy and comparator for LLM inference."""
