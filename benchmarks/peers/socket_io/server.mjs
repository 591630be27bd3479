// A Socket.IO server with connection state recovery; `POST /publish` with a list of events emits each to everybody.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer(async (request, response) => {
  let body = "";
  for await (const piece of request) body += piece;
  for (const event of JSON.parse(body)) io.emit("event", event);
  response.end();
});
// The options of the documentation's page on connection state recovery.
// It takes requests under /socket.io; all others are ours.
const io = new Server(http, { connectionStateRecovery: { maxDisconnectionDuration: 2 * 60 * 1000, skipMiddlewares: true } });
http.listen(Number(process.argv[2]), "127.0.0.1");
