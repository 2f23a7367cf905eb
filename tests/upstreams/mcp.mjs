// A loopback MCP server over streamable HTTP: the npm package
// @modelcontextprotocol/server-everything, whose own HTTP mode runs in this process.
// It asks for no credential, so a door stands in front of it, which speaks TLS and answers 401 to
// every key but one. The door also breaks off the first GET stream of each session once an event
// went through it, as a load balancer would, so that a client has to come back for the rest.
// Usage: node mcp.mjs PORT KEY LOG CERT CERT_KEY   (0: any free port). Prints "listening PORT".
// LOG: a file that gets one JSON line for each request, {at, method, status, headers, body}, and for
// each event that goes out, {at, event}; at: milliseconds.
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [port, key, log, cert, certKey] = process.argv.slice(2);
process.env.SERVER_KEY = key; // as careless servers do; the tool get-env tells it to whoever asks
const streamed = new Set();

// Its own command listens on every address.
const listen = net.Server.prototype.listen;
const inner = await new Promise((done) => {
  net.Server.prototype.listen = function (_, ...rest) {
    net.Server.prototype.listen = listen;
    this.once("listening", () => done(this.address().port));
    return listen.call(this, 0, "127.0.0.1", ...rest);
  };
  console.log = () => {};
  const dist = path.join(import.meta.dirname, "..", "node", "node_modules",
    "@modelcontextprotocol", "server-everything", "dist");
  import(pathToFileURL(path.join(dist, "transports", "streamableHttp.js")).href);
});

const note = (entry) => fs.appendFileSync(log, JSON.stringify({ at: Date.now(), ...entry }) + "\n");

function door(req, res) {
  let body = "";
  req.on("data", (data) => (body += data));
  res.on("close", () => note({
    method: req.method, status: res.statusCode, headers: req.headers, body,
  }));
  if (req.headers.authorization !== `Bearer ${key}`) {
    res.writeHead(401, { "content-type": "application/json" });
    res.end(JSON.stringify({ error: "unauthorized" }));
    return;
  }
  const { method, url: target, headers } = req;
  const onward = http.request({ host: "127.0.0.1", port: inner, method, path: target, headers });
  onward.on("response", (answer) => {
    const session = headers["mcp-session-id"];
    const breaks = method === "GET" && !streamed.has(session);
    if (method === "GET") {
      streamed.add(session);
    }
    res.writeHead(answer.statusCode, answer.headers);
    res.flushHeaders();
    answer.on("data", (data) => {
      res.write(data);
      note({ event: data.toString() });
      if (breaks) {
        setTimeout(() => res.destroy(), 100);
      }
    });
    answer.on("end", () => res.end());
  });
  onward.on("error", () => res.destroy());
  res.on("close", () => onward.destroy());
  req.pipe(onward);
}

const server = https.createServer(
  { cert: fs.readFileSync(cert), key: fs.readFileSync(certKey) }, door);
await new Promise((done) => server.listen(Number(port), "127.0.0.1", done));
process.stdout.write(`listening ${server.address().port}\n`);
