"""Who is asking: users, organisations, and the credentials that let them in."""
