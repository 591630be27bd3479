"""The hot log: an interface and its implementations. Only this package speaks to Redis and to NATS."""
