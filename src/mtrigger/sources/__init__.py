"""Sources: tables of relational databases whose rows become documents or messages."""
