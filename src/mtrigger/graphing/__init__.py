"""A picture of what flows where, drawn from rules and sources: what `mtrigger graph` shows. Pure."""
