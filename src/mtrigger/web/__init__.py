"""What a browser sees: the mailbox."""
