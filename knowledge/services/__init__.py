"""What can be done with sources, attachments and what is in them."""
