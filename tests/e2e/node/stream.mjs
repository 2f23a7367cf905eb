// Reads a stream by the Node library where it was installed. Arguments: the folder of installation, and
// {options, token, url, stopAfter?, large?} as JSON. Prints a line of JSON for the head, for each piece
// unless they are many, and for the end.
import path from "node:path";
import { pathToFileURL } from "node:url";

const file = path.join(process.argv[2], "node_modules", "sallyport", "index.js");
const { Client, StreamBroken } = await import(pathToFileURL(file).href);
const { options, token, url, stopAfter, large } = JSON.parse(process.argv[3]);
const say = (what) => console.log(JSON.stringify(what));
const client = new Client(options);
let bytes = 0, pieces = 0, before = 0, peak = 0;
try {
  const stream = await client.stream(token, "GET", url);
  say({ status: stream.status, type: stream.header("Content-Type"), id: stream.requestId,
        trailers: stream.trailers });
  for await (const piece of stream) {
    bytes += piece.length;
    if (!large) say({ text: piece.toString(), at: Date.now() / 1000, trailers: stream.trailers });
    before ||= process.memoryUsage.rss();
    peak = Math.max(peak, process.memoryUsage.rss());
    if (++pieces === stopAfter) break;
  }
  say({ end: true, bytes, grownKib: (peak - before) / 1024, trailers: stream.trailers,
        checksum: stream.trailer("X-Checksum"), none: stream.trailer("x-none") === undefined });
} catch (error) {
  say({ error: error.name, code: error.code, broken: error instanceof StreamBroken });
}
client.close();
