// `createReconnectingWebSocket` as the document of S4 prints it: `node seed_reconnecting.mjs URL`. Each socket that it
// opens is watched, and every frame printed as one line.
const [address] = process.argv.slice(2);

const Plain = globalThis.WebSocket;
globalThis.WebSocket = class extends Plain {
  constructor(url) {
    super(url);
    this.addEventListener("message", (event) => console.log(event.data));
  }
};

function createReconnectingWebSocket(url, maxRetries = 10) {
  let retries = 0;
  let ws;

  function connect() {
    ws = new WebSocket(url);

    ws.onopen = () => {
      retries = 0; // Reset on successful connection
    };

    ws.onclose = (event) => {
      if (retries < maxRetries) {
        const delay = Math.min(1000 * Math.pow(2, retries), 30000);
        console.log(`Reconnecting in ${delay}ms...`);
        setTimeout(connect, delay);
        retries++;
      }
    };

    return ws;
  }

  return connect();
}

createReconnectingWebSocket(address);
