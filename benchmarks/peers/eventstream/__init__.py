"""django-eventstream with EVENTSTREAM_REDIS, under uvicorn; with EVENTSTREAM_STORAGE it keeps events in the database."""
