// The JavaScript client that the document of S4 prints, with host, token and ids from the command line:
// `node seed_chat_client.mjs HOST TOKEN SESSION APPLICATION`. What it leaves to its reader is at the end.
const [host, givenToken, givenSession, applicationId] = process.argv.slice(2);

const sessionId = givenSession;
const token = givenToken;

const ws = new WebSocket(
  `ws://${host}/ws/chat/${sessionId}?token=${token}`
);

ws.onopen = () => {
  console.log('Connected to chat');
};

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);

  switch (data.type) {
    case 'connected':
      console.log('Session ready:', data.session_id);
      break;
    case 'response_start':
      console.log('AI is responding...');
      break;
    case 'text-delta':
      // Append each text chunk to the UI
      appendToResponse(data.text);
      break;
    case 'sources':
      showSources(data.sources);
      break;
    case 'response_end':
      console.log(`Done. Tokens: ${data.tokens_used}`);
      break;
    case 'typing':
      showTypingIndicator(data.user_id);
      break;
    case 'error':
      console.error('Error:', data.message);
      break;
  }
};

function usedOnceItIsOpen() {
  // Send a message
  ws.send(JSON.stringify({
    type: 'chat',
    content: 'What were the key Q4 metrics?',
    application_id: applicationId
  }));

  // Send typing indicator
  ws.send(JSON.stringify({ type: 'typing' }));

  // Keep alive
  setInterval(() => {
    if (ws.readyState === WebSocket.OPEN) {
      ws.send(JSON.stringify({ type: 'ping' }));
    }
  }, 30000);
}

const seen = { text: "", sources: null, typing: [], types: [] };
function appendToResponse(text) {
  seen.text += text;
}
function showSources(sources) {
  seen.sources = sources;
}
function showTypingIndicator(userId) {
  seen.typing.push(userId);
}
ws.addEventListener("open", usedOnceItIsOpen);
ws.addEventListener("message", (event) => {
  const data = JSON.parse(event.data);
  seen.types.push(data.type);
  // An answer to the end, and somebody else typing: all kinds of frames but errors.
  if (seen.types.includes("response_end") && seen.typing.length) {
    console.log(JSON.stringify(seen));
    process.exit(0);
  }
});
ws.addEventListener("close", (event) => {
  console.error(`closed: ${event.code} ${event.reason}`);
  process.exit(1);
});
