// Drives the Node library where it was installed. Arguments: the folder of installation. Reads
// {steps: [{options, calls: [[method, argument…]…]}…], narrow: […], read: [base64…]} as JSON on standard
// input; each step is a client, whose calls are made at once. Prints the outcomes as JSON, each {value}
// or {error}; bytes are base64.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const folder = path.join(process.argv[2], "node_modules", "sallyport");
const load = (file) => import(pathToFileURL(path.join(folder, file)).href);
const library = await load("index.js");
const { read } = await load("lib/replies.js");
const given = JSON.parse(fs.readFileSync(0, "utf8"));

async function outcome(work) {
  try {
    return { value: await work() };
  } catch (error) {
    return { error: { ...error, name: error.name, message: error.message,
                      ours: error instanceof library.SallyportError } };
  }
}

const out = { codes: library.CODES, names: Object.keys(library), steps: [], narrow: [], read: [] };
for (const { options, calls } of given.steps ?? []) {
  const client = await outcome(() => new library.Client(options));
  out.steps.push(client.error ? [client] : await Promise.all(
    calls.map(([method, ...rest]) => outcome(() => client.value[method](...rest)))));
  client.value?.close();
}
for (const { token, caveat } of given.narrow ?? []) {
  out.narrow.push(await outcome(() => library.narrow(token, caveat)));
}
for (const data of given.read ?? []) {
  out.read.push(await outcome(() => read(Buffer.from(data, "base64"), "proxy", "i")));
}
console.log(JSON.stringify(out, function plain(name, value) {
  return this[name] instanceof Uint8Array ? this[name].toString("base64") : value;
}));
