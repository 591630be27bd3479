"""Sources, documents and attachments: taken in, cut into chunks, embedded, and found again."""
