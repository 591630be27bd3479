"""One client of every kind, each as independent ones are written: it keeps a cursor, and comes back."""
