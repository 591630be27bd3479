"""Socket.IO on Node.js, with connection state recovery, as its documentation has it: one process, the adapter in memory."""
