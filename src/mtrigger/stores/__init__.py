"""Where the position and the outbox are kept: one contract (`base`), one file a store."""
