"""Settings of knowledge."""

from accounts.conf import AppSettings


class KnowledgeSettings(AppSettings):
    """What knowledge can be told."""

    KNOWLEDGE_MAX_BYTES: int = 67_108_864
    """Largest file that is taken as a source or an attachment, in bytes."""

    KNOWLEDGE_TEXT_MAX_BYTES: int = 8_388_608
    """Largest JSON body with a text; longer texts are sent as a file, in bytes."""

    KNOWLEDGE_SOURCES_PER_USER: int = 1000
    """Sources and attachments that one user may own; 0: no limit."""

    KNOWLEDGE_SHARED_TOLD: int = 1000
    """Most members of an organisation that are told when a source is shared with it; 0: nobody is."""

    KNOWLEDGE_EMBEDDINGS: str = "auto"
    """Who embeds: openai, minilm (offline model), hashing (words only, no model); auto: openai if configured, else offline."""

    EMBEDDINGS_BASE_URL: str = ""
    """Base address of an OpenAI-compatible endpoint with /embeddings, up to and with /v1; empty: OPENAI_BASE_URL."""

    EMBEDDINGS_API_KEY: str = ""
    """Key for the embeddings endpoint; empty: OPENAI_API_KEY."""

    EMBEDDINGS_TIMEOUT_SECONDS: float = 60.0
    """Longest wait for one answer of the embeddings endpoint, in seconds."""

    KNOWLEDGE_INGESTIONS: int = 2
    """How many sources one worker process takes in at once; the others wait their turn."""

    KNOWLEDGE_EMBED_THREADS: int = 1
    """Threads of one process that compute embeddings, at low priority so that answers are not disturbed."""

    KNOWLEDGE_LEASE_SECONDS: float = 30.0
    """An ingestion whose worker has been silent for so long is taken over by another, in seconds."""

    KNOWLEDGE_ATTEMPTS: int = 3
    """How many workers may die over one ingestion before it is failed."""

    KNOWLEDGE_PARSER_MEMORY_MB: int = 1024
    """Memory that reading one document may take, in MiB; it happens in a process of its own."""

    KNOWLEDGE_PARSER_SECONDS: int = 900
    """CPU time that reading one document may take, in seconds."""


conf = KnowledgeSettings()
