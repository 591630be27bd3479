"""What people are told, and where it reaches them."""
