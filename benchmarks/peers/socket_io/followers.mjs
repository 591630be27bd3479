// Many Socket.IO clients with their default options: node followers.mjs URL COUNT. See followers/__init__.py for what they print.
import { io } from "socket.io-client";

const [url, count] = process.argv.slice(2);
const say = (...words) => process.stdout.write(`${JSON.stringify(words)}\n`);

for (let who = 0; who < Number(count); who++) {
  const socket = io(url, { forceNew: true });
  let isFirst = true;
  socket.on("connect", () => {
    // Says so itself when what was missed could not be sent again.
    if (!isFirst && !socket.recovered) say("gap", who);
    isFirst = false;
    say("open", who);
  });
  socket.on("event", ({ n }) => say("event", who, n, Number(process.hrtime.bigint())));
}
