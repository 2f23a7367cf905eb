// An MCP client that starts a server as a command, as its SDK does it, and calls tools of it. Input:
// {command, args, env, calls: [[tool, arguments]…]}; output: how many tools there are, and what the
// calls gave.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const sdk = path.join(import.meta.dirname, "..", "..", "node", "node_modules",
  "@modelcontextprotocol", "sdk", "dist", "esm", "client");
const { Client } = await import(pathToFileURL(path.join(sdk, "index.js")).href);
const { StdioClientTransport } = await import(pathToFileURL(path.join(sdk, "stdio.js")).href);

const { command, args, env, calls } = JSON.parse(fs.readFileSync(0, "utf8"));
const client = new Client({ name: "sallyport-test", version: "1.0.0" });
await client.connect(new StdioClientTransport({ command, args, env, stderr: "ignore" }));

async function call(name, given) {
  try {
    const { isError, content } = await client.callTool({ name, arguments: given });
    return { failed: !!isError, text: content[0].text };
  } catch (error) {
    return { failed: true, text: String(error) };
  }
}

const { tools } = await client.listTools();
const answers = [];
for (const [name, given] of calls) {
  answers.push(await call(name, given));
}
await client.close();
console.log(JSON.stringify({ tools: tools.length, answers }));
