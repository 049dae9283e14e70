"""Tasks that end in good order, threads that cannot hold up an end, and outages that are waited out."""
