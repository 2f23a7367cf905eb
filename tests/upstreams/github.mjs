// A loopback GitHub with state: the npm package emulate (needs Node 24), its github service alone,
// with one organisation, one user, two repositories and one token.
// emulate takes any token for its first user, which would make a lost key look like success; so
// a door stands in front of it that answers 401 to every token but the seeded one, as GitHub does.
// Usage: node github.mjs [PORT] [TOKEN] [LOG]   (0: any free port). Prints "listening PORT".
// LOG: a file that gets one line for each request, "METHOD TARGET STATUS".
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { pathToFileURL } from "node:url";

const modules = path.join(import.meta.dirname, "..", "node", "node_modules");
const { createEmulator } = await import(
  pathToFileURL(path.join(modules, "emulate", "dist", "api.js")).href
);

const token = process.argv[3] || "ghp_sallyportLoopbackToken000000000000";

// The emulator tells its port only where it also writes it into links, so one is chosen for it.
async function freePort() {
  const probe = net.createServer();
  await new Promise((done) => probe.listen(0, "127.0.0.1", done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

const inner = await freePort();

function door(req, res) {
  if (process.argv[4]) {
    const line = () => fs.appendFileSync(process.argv[4], `${req.method} ${req.url} ${res.statusCode}\n`);
    res.on("finish", line);
  }
  const given = req.headers.authorization;
  if (given !== undefined && given.replace(/^(Bearer|token) /i, "") !== token) {
    res.writeHead(401, { "content-type": "application/json" });
    res.end(JSON.stringify({ message: "Bad credentials" }));
    return;
  }
  const { method, url: target, headers } = req;
  const onward = http.request(
    { host: "127.0.0.1", port: inner, method, path: target, headers },
    (answer) => {
      res.writeHead(answer.statusCode, answer.headers);
      answer.pipe(res);
    },
  );
  onward.on("error", () => res.destroy());
  req.pipe(onward);
}

const server = http.createServer(door);
await new Promise((done) => server.listen(Number(process.argv[2] || 0), "127.0.0.1", done));
const port = server.address().port;
await createEmulator({
  service: "github",
  port: inner,
  hostname: "127.0.0.1",
  // Links in answers name the door, not the emulator behind it.
  seed: {
    tokens: { [token]: { login: "octocat", scopes: ["repo", "user"] } },
    github: {
      baseUrl: `http://localhost:${port}`,
      users: [{ login: "octocat", name: "The Octocat", email: "octocat@example.com" }],
      orgs: [{ login: "acme", name: "Acme", members: [{ login: "octocat", role: "admin" }] }],
      repos: [
        { owner: "octocat", name: "hello-world", language: "C", auto_init: true },
        { owner: "acme", name: "site", language: "C", auto_init: true, private: true },
      ],
    },
  },
});
console.log(`listening ${port}`);
