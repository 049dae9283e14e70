"""Groups of rules that consume topics: each reads its topic from a position of its own, and owes for it."""
