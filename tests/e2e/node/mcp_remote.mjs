// An MCP client of a remote server, as its SDK has it: only the URL and the key are sallyport's.
// Input: {url, token}; output: what it saw.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const sdk = path.join(import.meta.dirname, "..", "..", "node", "node_modules",
  "@modelcontextprotocol", "sdk", "dist", "esm");
const load = (...parts) => import(pathToFileURL(path.join(sdk, ...parts)).href);
const { Client } = await load("client", "index.js");
const { StreamableHTTPClientTransport } = await load("client", "streamableHttp.js");
const { ListRootsRequestSchema, LoggingMessageNotificationSchema } = await load("types.js");

const { url, token } = JSON.parse(fs.readFileSync(0, "utf8"));
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
const client = new Client({ name: "sallyport-test", version: "1.0.0" },
  { capabilities: { roots: {} } });
const out = { progress: [], logged: [], errors: [] };
client.onerror = (error) => out.errors.push(String(error));
client.setRequestHandler(ListRootsRequestSchema, () => ({
  roots: [{ uri: "file:///srv/site", name: "site" }],
}));
client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
  out.logged.push(params.data);
});

async function until(check) {
  for (const end = Date.now() + 60000; !check(); ) {
    if (Date.now() > end) {
      throw new Error(`waited in vain: ${check} ${JSON.stringify(out)}`);
    }
    await new Promise((done) => setTimeout(done, 20));
  }
}

async function call(name, given = {}, options = undefined) {
  try {
    const { isError, content } = await client.callTool({ name, arguments: given }, undefined, options);
    return { failed: !!isError, text: content[0].text };
  } catch (error) {
    return { failed: true, code: error.code, kind: error.constructor.name, text: String(error) };
  }
}

await client.connect(transport);
out.session = transport.sessionId;
out.server = client.getServerVersion().name;
out.tools = (await client.listTools()).tools.map((tool) => tool.name);
out.echo = await call("echo", { message: "hello" });
out.long = await call("trigger-long-running-operation", { duration: 1.2, steps: 4 }, {
  onprogress: ({ progress }) => out.progress.push([progress, Date.now()]),
});
out.denied = await call("get-env");
out.unknown = await call("gzip-file-as-resource");

// The server asks for our roots over the GET stream; then the stream is broken off behind its first
// event, and what is sent meanwhile comes when the client has come back.
out.roots = await call("get-roots-list");
await call("toggle-simulated-logging");
await until(() => out.errors.some((text) => text.includes("stream disconnected")));
await call("toggle-simulated-logging");
await call("toggle-simulated-logging");
await until(() => out.logged.length >= 2);

await transport.terminateSession();
out.ended = transport.sessionId === undefined;
await client.close();
console.log(JSON.stringify(out));
