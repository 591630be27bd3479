// A client written from the document of S2 alone: three names, one line of data each. `node rag_client.mjs URL TOKEN BODY`.
const [url, token, body] = process.argv.slice(2);

const response = await fetch(url, {
  method: "POST",
  headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
  body,
});
if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);

const seen = { sources: null, content: "", completed: false, order: [] };
let event = "message";
let buffer = "";
for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
  buffer += text;
  const lines = buffer.split("\n");
  buffer = lines.pop();
  for (const line of lines) {
    if (line.startsWith("event: ")) event = line.slice(7);
    if (!line.startsWith("data: ")) continue;
    const data = JSON.parse(line.slice(6));
    seen.order.push(event);
    if (event === "sources") seen.sources = data.sources;
    else if (event === "text") seen.content += data.content;
    else if (event === "done") seen.completed = data.completed;
  }
}
console.log(JSON.stringify(seen));
