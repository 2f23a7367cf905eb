// From the bytes of a reply to what the caller gets. Strict about what the protocol promises, and deaf
// to fields that it does not name: a newer host may add some.
import { BadReply, OutcomeUnknown, Refused } from "./errors.js";
import { decode } from "./msgpack.js";

const int = Number.isSafeInteger;
const str = (value) => typeof value === "string";
const bool = (value) => typeof value === "boolean";
const bin = (value) => value instanceof Uint8Array;
const strs = (value) => Array.isArray(value) && value.every(str);
const pairs = (value) => Array.isArray(value) && value.every((pair) => Array.isArray(pair)
  && pair.length === 2 && str(pair[0]) && (str(pair[1]) || bin(pair[1])));

// Each reply's fields; "?" where it need not be there.
const SHAPES = {
  issue: { token: str, root: str, scope: str, expires: int, expires_in_ms: int },
  proxy: { status: int, headers: pairs, body: bin, "dropped_headers?": strs, "observed?": bool,
           "replayed?": bool },
  head: { status: int, headers: pairs, "dropped_headers?": strs, "observed?": bool },
  part: { seq: int, data: bin },
  end: { seq: int, bytes: int, "trailers?": pairs },
  check: { allowed: bool, code: str, reason: str, rule: str, hint: str, "key?": str },
  inspect: { root: str, principal: str, scope: str, scope_text: str, "narrow?": str, caveats: strs,
             "bind?": str, issued: int, expires: int, "revoked?": int,
             "guard_hits?": int, "guard_key?": str, "suspended?": int, expired: bool },
  revoke: { root: str },
  status: { version: str, protocol: int, state: str, ready: bool },
};
const ERROR = { code: str, reason: str, rule: str, hint: str, retryable: bool,
                "retry_after_ms?": int, "detail?": str };

// The upstream's answer, whatever its status.
export class Answer {
  constructor(fields, requestId) {
    this.status = fields.status;
    this.headers = fields.headers;
    this.body = fields.body;
    this.droppedHeaders = fields.dropped_headers ?? [];
    this.observed = fields.observed ?? false;
    this.replayed = fields.replayed ?? false;
    this.requestId = requestId;
  }
  header(name) { return this.headers.find(([one]) => one === name.toLowerCase())?.[1]; }
  text() { return this.body.toString(); }
  json() { return JSON.parse(this.text()); }
}

function fit(given, shape) {
  const taken = {};
  for (const [field, isRight] of Object.entries(shape)) {
    const name = field.replace("?", "");
    if (given.has(name)) {
      if (!isRight(given.get(name))) throw new TypeError(`${name} is of another type`);
      taken[name] = given.get(name);
    } else if (name === field) throw new TypeError(`${name} is missing`);
  }
  return taken;
}

function envelope(data) {
  const found = decode(data);
  if (!(found instanceof Map) || found.get("v") !== 1 || !bool(found.get("ok"))) {
    throw new TypeError("no map with v: 1 and ok");
  }
  return found;
}

const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

// The reply to an operation, or one message of a stream; throws Refused, or BadReply.
function readAs(data, shapeOf, requestId) {
  let refusal, shape, taken;
  try {
    const found = envelope(data);
    // A host that is too busy to read a request refuses it without its id.
    if (found.has("id") ? found.get("id") !== requestId : found.get("ok")) {
      throw new TypeError("it answers another request");
    }
    if (found.get("ok")) {
      shape = shapeOf(found);
      taken = shape && fit(found, SHAPES[shape]);
    }
    else if (!(found.get("error") instanceof Map)) throw new TypeError("error is missing");
    else refusal = fit(found.get("error"), ERROR);
  } catch (error) {
    throw new BadReply(`the host's answer is no reply of this protocol: ${error.message}`, requestId);
  }
  if (refusal) {
    throw new (refusal.code === "outcome_unknown" ? OutcomeUnknown : Refused)(refusal, requestId);
  }
  return { shape, taken };
}

export function read(data, op, requestId) {
  const { taken } = readAs(data, () => op, requestId);
  if (op === "proxy") return new Answer(taken, requestId);
  return Object.fromEntries(Object.entries(taken).map(([name, value]) => [camel(name), value]));
}

// { shape, taken }: "proxy" for an answer that came whole, "head", "part", "end", or undefined for a
// sign of life.
export function readStreamed(data, requestId) {
  return readAs(data, (found) => (found.has("body") ? "proxy" : found.has("status") ? "head"
    : found.has("data") ? "part" : found.has("end") ? "end" : undefined), requestId);
}

// Throws where what answers does not speak the protocol.
export function expectReply(data) {
  try {
    envelope(data);
  } catch (error) {
    throw new BadReply(`what answers there is no sallyport: ${error.message}`);
  }
}
