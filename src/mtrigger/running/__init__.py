"""What the dispatcher is made of: lanes, settling, and what is told of a delivery."""
