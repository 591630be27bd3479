"""Settings of chat."""

from accounts.conf import AppSettings


class ChatSettings(AppSettings):
    """What chat can be told."""

    CHAT_ENGINE: str = "auto"
    """Alias in CHAT_ENGINES that answers; auto: openai if configured, else local if installed, else extractive; none: refuse."""

    OPENAI_BASE_URL: str = ""
    """Base address of an OpenAI-compatible endpoint, up to and with /v1."""

    OPENAI_API_KEY: str = ""
    """Key for the OpenAI-compatible endpoint."""

    OPENAI_MODEL: str = ""
    """Model asked of the OpenAI-compatible endpoint; empty: the first it lists."""

    ENGINE_FIRST_BYTE_SECONDS: float = 60.0
    """Longest wait for a provider's first byte, in seconds."""

    ENGINE_IDLE_SECONDS: float = 60.0
    """Longest silence of a provider in the middle of an answer, in seconds."""

    ENGINE_CONNECT_SECONDS: float = 10.0
    """Longest wait for a connection to a provider, in seconds."""

    ENGINE_LINE_MAX_BYTES: int = 4_194_304
    """Longest line, or answer in one piece, accepted from a provider, in bytes."""

    LOCAL_ENGINE_SLOTS: int = 2
    """How many answers the offline model writes at once; more wait."""

    LOCAL_ENGINE_CONTEXT: int = 4096
    """Tokens of question, history and answer together that the offline model takes."""

    LOCAL_ENGINE_THREADS: int = 0
    """Threads of the offline model; 0: one per CPU, less one for the server itself."""

    CHAT_SYSTEM_PROMPT: str = "You are a helpful AI assistant. Answer briefly and truthfully."
    """What an engine is told first, unless the application has its own prompt."""

    CHAT_HISTORY_MESSAGES: int = 20
    """How many earlier messages of the conversation an engine sees."""

    CHAT_CONTEXT_TOKENS: int = 6000
    """How many tokens of documents an engine is given at most, unless the request asks for fewer."""

    CHAT_TOOL_ROUNDS: int = 8
    """How many times in one answer an engine may ask for tools and hear what they say; 0: no tools are offered."""

    CHAT_TOOL_CALLS_PER_ROUND: int = 16
    """How many tools an engine may call at once; it is told that further calls were not made."""

    CHAT_TOOL_ARGUMENTS_MAX_CHARS: int = 50_000
    """Longest arguments of a tool call, in characters of their JSON; longer ones are refused, and the engine is told."""

    CHAT_TOOL_RESULT_MAX_CHARS: int = 20_000
    """How much of a tool's result an engine is told, in characters."""

    CHAT_QUESTION_MAX_CHARS: int = 100_000
    """Longest question accepted, in characters."""

    CHAT_ANSWER_MAX_CHARS: int = 1_000_000
    """Longest answer kept; a run that goes on is ended as failed, with its text."""

    CHAT_BODY_MAX_BYTES: int = 1_048_576
    """Largest request body accepted, in bytes."""

    CHAT_RUNNING_PER_USER: int = 20
    """Answers of one user that may be queued or running at once; 0: no limit."""

    CHAT_SYSTEM_PROMPT_CHARS: int = 20_000
    """Longest prompt of an application, in characters."""

    CHAT_APPLICATION_TOOLS: int = 32
    """Most tools of one application."""

    CHAT_APPLICATION_SOURCES: int = 50
    """Most sources of one application."""

    CHAT_SESSION_PARTICIPANTS: int = 50
    """Most users who take part in one session of the chat socket."""

    CHAT_ROOM_PARTICIPANTS: int = 100
    """Most participants of one room, people and agents."""

    CHAT_ROOM_AGENTS: int = 5
    """Most agents of one room: each that responds by itself answers every message of a person."""

    CHAT_ROOM_AGENT_DEPTH: int = 1
    """How many answers of agents may follow each other without a person's message; 1: agents answer only people."""

    CHAT_TYPING_SECONDS: float = 6.0
    """How long someone is shown as typing after the last sign of it, in seconds."""

    CHAT_RESUME_SECONDS: float = 1.0
    """How long a new chat socket may take to say `resume`, before running answers are told from their beginning, in seconds."""

    CHAT_SOCKET_ANSWERS: int = 64
    """How many answers one chat socket may ask to resume at once."""

    APPROVAL_DECIDERS: list[str] = ["participants"]  # noqa: RUF012 - a declaration, never mutated
    """Who may decide about what a run asks: participants (of the conversation), requester, admins (of the application's
    organisation), user:<public id>."""

    APPROVAL_EXPIRES_SECONDS: float = 86_400.0
    """How long an approval waits for a decision, in seconds; then it counts as denied, and the run goes on."""

    APPROVAL_REMIND_SECONDS: float = 3600.0
    """After how long those who may decide are told once more, in seconds; 0: never."""

    APPROVAL_ESCALATE_SECONDS: float = 0.0
    """After how long those of APPROVAL_ESCALATE_TO may decide, too, and are told, in seconds; 0: never."""

    APPROVAL_ESCALATE_TO: list[str] = []  # noqa: RUF012
    """Who is asked when nobody has decided for APPROVAL_ESCALATE_SECONDS, in the words of APPROVAL_DECIDERS."""

    APPROVAL_MAIL: bool = False
    """Whether those who may decide get a mail with a link that decides without logging in; needs PUBLIC_URL and EMAIL_URL."""

    APPROVAL_RESUMES: int = 3
    """How often a run that goes on after its approvals is given to another worker because one has died with it."""

    IDEMPOTENCY_HOURS: int = 24
    """How long an Idempotency-Key is remembered, in hours."""

    RUN_LEASE_SECONDS: float = 15.0
    """A run whose worker has been silent for so long is ended, in seconds."""

    RUN_DRAIN_GRACE_SECONDS: float = 60.0
    """How much longer a dead worker's run waits to be ended for a broker that is away or takes no writes, in seconds."""

    RUN_DELTA_FLUSH_MS: int = 25
    """Longest time text waits before it is appended, in milliseconds; the first is appended at once."""

    RUN_MAX_SECONDS: float = 1800.0
    """Longest time one run may take, in seconds."""

    RUN_CONCURRENCY: int = 320
    """How many runs one worker process drives at once."""

    GRACEFUL_SHUTDOWN_SECONDS: float = 20.0
    """How long a stopping worker lets its runs finish, in seconds."""

    EDITING_PROPOSER: str = "auto"
    """What proposes changes of documents: model, rules, or auto (model where the engine is able to, else rules)."""

    EDITING_DOCUMENT_MAX_BYTES: int = 2_097_152
    """Largest HTML document that can be edited, in bytes of UTF-8."""

    EDITING_CONTEXT_TOKENS: int = 6000
    """How many tokens of a document's HTML a language model is sent at once; a larger document goes in parts."""

    EDITING_PARTS_MAX: int = 20
    """How many parts of a large document are sent for one instruction."""

    EDITING_VERSIONS_KEPT: int = 100
    """How many versions of a document are kept; older ones cannot be reverted to."""

    JOBS_BODY_MAX_BYTES: int = 8_388_608
    """Largest request body of a job, in bytes: a document of EDITING_DOCUMENT_MAX_BYTES grows as JSON."""

    JOBS_REPROPOSALS: int = 10
    """How many times in one job changes that were denied with feedback are proposed anew."""

    USAGE_TIERS: list[str] = ["free=500", "pro=5000", "unlimited=0"]  # noqa: RUF012
    """The tiers of accounts, each with how many jobs a month it allows; 0: no limit."""

    USAGE_TIER: str = "free"
    """The tier of accounts that have no other (set in the admin, under Subscriptions)."""


conf = ChatSettings()
