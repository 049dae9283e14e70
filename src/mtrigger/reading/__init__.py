"""Change stream -> events: the cursor, what is too large or cannot be read, and what has to be looked up."""
