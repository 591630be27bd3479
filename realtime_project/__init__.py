"""The composition root: settings, addresses, and how it is all served."""
