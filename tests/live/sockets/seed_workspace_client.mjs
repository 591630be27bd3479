// The JavaScript of the document of S4 for workspaces, with host, token and id from the command line:
// `node seed_workspace_client.mjs HOST TOKEN WORKSPACE`. What it leaves to its reader is at the end.
const [host, token, workspaceId] = process.argv.slice(2);

const ws = new WebSocket(
  `ws://${host}/ws/workspaces/${workspaceId}?token=${token}`
);

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);

  if (data.type === 'user_joined') {
    showToast(`${data.user_id} joined the workspace`);
  }
  if (data.type === 'document_updated') {
    refreshDocumentList();
  }
};

function usedOnceItIsOpen() {
  // Broadcast a document update to other workspace members
  ws.send(JSON.stringify({
    type: 'document_updated',
    document_id: 'doc-456',
    action: 'edited'
  }));
}

let toasts = 0;
function showToast(words) {
  toasts += 1;
  console.log(words);
}
function refreshDocumentList() {
  console.log("refreshed");
  process.exit(toasts === 1 ? 0 : 2);
}
// Somebody else must be there to see it.
ws.addEventListener("message", (event) => {
  if (JSON.parse(event.data).type === "user_joined") usedOnceItIsOpen();
});
ws.addEventListener("close", (event) => {
  console.error(`closed: ${event.code} ${event.reason}`);
  process.exit(1);
});
