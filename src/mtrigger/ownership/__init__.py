"""Who owns a stream: the lease as pure words, keeping it, and waiting for it."""
