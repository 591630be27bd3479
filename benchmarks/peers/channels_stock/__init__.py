"""Stock Channels: a WebSocket consumer that joins a group, behind the pub/sub layer of channels-redis."""
