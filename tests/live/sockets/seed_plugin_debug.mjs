// The JavaScript of the document of S4 for plugin debugging, with host and id from the command line:
// `node seed_plugin_debug.mjs HOST EXECUTION`. What it leaves to its reader is at the end.
const [host, executionId] = process.argv.slice(2);

const execId = executionId;

const ws = new WebSocket(
  `ws://${host}/api/v1/ws/plugin/debug/${execId}`
);

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);

  switch (data.type) {
    case 'execution_info':
      console.log(`Debugging: ${data.data.tool_name}`);
      break;
    case 'log':
      appendToDebugConsole(data.data);
      break;
    case 'step':
      highlightStep(data.data);
      break;
    case 'variable':
      updateVariableInspector(data.data);
      break;
    case 'execution_complete':
      console.log('Execution finished:', data.data.result);
      break;
    case 'execution_error':
      console.error('Execution failed:', data.data.error);
      break;
  }
};

// Keep-alive ping
function keepAlive() {
  if (ws.readyState === WebSocket.OPEN) {
    ws.send('ping'); // Server responds with 'pong'
  }
}

function appendToDebugConsole(log) {
  console.log(`log ${log.message}`);
}
function highlightStep(step) {
  console.log(`step ${step.name} ${step.status}`);
}
function updateVariableInspector(variable) {
  console.log(`variable ${variable.name} = ${JSON.stringify(variable.value)}`);
}
// The document pings every 30 s, and its own `onmessage` cannot read the answer: it is no JSON. Ours ends the client.
let finished = false;
const documented = ws.onmessage;
ws.onmessage = (event) => {
  if (event.data === "pong") {
    console.log("pong");
    process.exit(0);
  }
  documented(event);
  if (event.data.includes('"execution_complete"')) {
    finished = true;
    keepAlive();
  }
};
ws.addEventListener("close", (event) => {
  console.error(`closed: ${event.code} ${event.reason}`);
  process.exit(finished ? 2 : 1);
});
