"""Topics: durable, replayable sequences of messages kept in MongoDB, and those who consume them."""
