// Narrowing a token, offline (docs/tokens.md).
import { blake2b } from "./blake2b.js";
import { SettingsError } from "./errors.js";

const ID = 16, TAG = 32, CAVEAT_MAX = 1024, CAVEATS_MAX = 16, TEXT_MAX = 24 * 1024;
const FRONT = /^(?:sk_test_|sk_live_|rk_test_|rk_live_|ghp_|github_pat_)?spt_/;

// How many caveats there are; each is its length in two bytes, and its bytes. -1: those are none.
function count(caveats) {
  let at = 0, n = 0;
  for (; at < caveats.length; n++) {
    const size = at + 2 <= caveats.length ? caveats.readUInt16BE(at) : 0;
    at += 2 + size;
    if (size === 0 || size > CAVEAT_MAX || at > caveats.length) return -1;
  }
  return n;
}

// The token that may do what `token` may and `caveat` (rules of the scope language, at most one
// `until`) lets through as well. The host is not asked; it refuses a token whose caveat it cannot
// read, so try new wording with check().
export function narrow(token, caveat) {
  const front = FRONT.exec(token);
  const text = front && token.length <= TEXT_MAX ? token.slice(front[0].length) : "";
  const raw = Buffer.from(text, "base64url");
  if (raw.length < ID + TAG || raw.toString("base64url") !== text) {
    throw new SettingsError("that is no token");
  }
  const body = raw.subarray(0, -TAG), n = count(body.subarray(ID));
  if (n < 0) throw new SettingsError("that is no token");
  if (n >= CAVEATS_MAX) throw new SettingsError(`a token holds at most ${CAVEATS_MAX} caveats`);
  const added = Buffer.from(caveat);
  if (added.length === 0 || added.length > CAVEAT_MAX) {
    throw new SettingsError(`a caveat has 1 to ${CAVEAT_MAX} bytes`);
  }
  const part = Buffer.alloc(8), size = Buffer.alloc(2);
  part.writeBigUInt64LE(BigInt(added.length));
  size.writeUInt16BE(added.length);
  const tag = blake2b(raw.subarray(-TAG), Buffer.concat([part, added]));
  return "spt_" + Buffer.concat([body, size, added, tag]).toString("base64url");
}
