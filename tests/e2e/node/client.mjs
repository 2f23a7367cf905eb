// A client of the wire in another language and with another ZeroMQ and MessagePack: npm's zeromq and
// @msgpack/msgpack. Reads {endpoint, host_key, public, secret, requests: [map…]} as JSON on standard
// input, sends the requests in turn, and prints the replies as one JSON array (bin as base64).
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(import.meta.dirname, "../../node/package.json"));
const zmq = require("zeromq");
const { decode, encode } = require("@msgpack/msgpack");

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const given = JSON.parse(Buffer.concat(chunks).toString());

const socket = new zmq.Request({
  curveServerKey: given.host_key,
  curvePublicKey: given.public,
  curveSecretKey: given.secret,
  receiveTimeout: 20000,
  linger: 0,
});
socket.connect(given.endpoint);
const replies = [];
for (const request of given.requests) {
  await socket.send(encode(request));
  const [body] = await socket.receive();
  replies.push(decode(body));
}
socket.close();
// Read from its holder: JSON.stringify has made an object of a Buffer before it comes here.
function plain(name, value) {
  const raw = this[name];
  return raw instanceof Uint8Array ? Buffer.from(raw).toString("base64") : value;
}
console.log(JSON.stringify(replies, plain));
