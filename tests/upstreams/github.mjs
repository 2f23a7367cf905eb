// A loopback GitHub with state: the npm package emulate (needs Node 24), its github service alone,
// with one organisation, one user, two repositories and one token.
// emulate takes any token for its first user, which would make a lost key look like success; so
// a door stands in front of it that answers 401 to every token but the seeded one, as GitHub does.
// Usage: node github.mjs [PORT] [TOKEN] [LOG] [PEM] [SEEN]   (0: any free port). Prints
// "listening PORT".
// LOG: a file that gets one line for each request, "METHOD TARGET STATUS".
// PEM: the private key of a GitHub App, id 12345, whose installation 100 on acme may read contents
// and write issues; acme then has a second repository, "vault". The emulator verifies the App's
// JWT and what an installation token may do; the door adds what it lacks, DELETE
// /installation/token, after which the token is refused.
// SEEN: a file that gets the Authorization header of each request.
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
const pem = process.argv[5] ? fs.readFileSync(process.argv[5], "utf8") : null;
const ended = new Set();

function door(req, res) {
  if (process.argv[4]) {
    const line = () => fs.appendFileSync(process.argv[4], `${req.method} ${req.url} ${res.statusCode}\n`);
    res.on("finish", line);
  }
  if (process.argv[6]) {
    fs.appendFileSync(process.argv[6], `${req.headers.authorization}\n`);
  }
  const given = req.headers.authorization?.replace(/^(Bearer|token) /i, "");
  const isApp = pem && (/^ey.+\..+\..+$/.test(given ?? "") || given?.startsWith("ghs_"));
  if (isApp && !ended.has(given) && req.method === "DELETE" && req.url === "/installation/token") {
    ended.add(given);
    res.writeHead(204);
    res.end();
    return;
  }
  if (given !== undefined && given !== token && !(isApp && !ended.has(given))) {
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
        ...(pem ? [{ owner: "acme", name: "vault", language: "C", auto_init: true, private: true }]
          : []),
      ],
      apps: pem ? [{
        app_id: 12345,
        slug: "bot",
        name: "Bot",
        private_key: pem,
        permissions: { metadata: "read", contents: "read", issues: "write" },
        installations: [{ installation_id: 100, account: "acme", repository_selection: "all" }],
      }] : [],
    },
  },
});
console.log(`listening ${port}`);
