"""Real peers for the end-to-end tests: a provider, phones, far ends and ears."""
