// An MCP client that starts @modelcontextprotocol/server-github, unmodified, as a command of
// `sallyport run`, and calls two of its tools. Input: {command, args}; output: what they answered.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const sdk = path.join(import.meta.dirname, "..", "..", "node", "node_modules",
  "@modelcontextprotocol", "sdk", "dist", "esm", "client");
const { Client } = await import(pathToFileURL(path.join(sdk, "index.js")).href);
const { StdioClientTransport } = await import(pathToFileURL(path.join(sdk, "stdio.js")).href);

const { command, args } = JSON.parse(fs.readFileSync(0, "utf8"));
const client = new Client({ name: "sallyport-test", version: "1.0.0" });
await client.connect(new StdioClientTransport({ command, args, stderr: "ignore" }));

async function call(name, given) {
  try {
    const { isError, content } = await client.callTool({ name, arguments: given });
    return { failed: !!isError, text: content[0].text };
  } catch (error) {
    return { failed: true, text: String(error) };
  }
}

const repository = { owner: "acme", repo: "site" };
const { tools } = await client.listTools();
const made = await call("create_issue", { ...repository, title: "from an MCP server" });
const listed = await call("list_issues", repository);
const refused = await call("list_commits", repository);
await client.close();
console.log(JSON.stringify({ tools: tools.length, made, listed, refused }));
