// The part of MessagePack that the protocol uses. The reader is strict where common ones are not:
// UTF-8 must be well-formed, a key comes once, keys are texts, and nothing follows the value.

const DEPTH_MAX = 32;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function encode(value) {
  const parts = [];
  put(parts, value);
  return Buffer.concat(parts);
}

// A head: the short form's byte, or the one that is followed by a length of 1, 2 or 4 bytes.
function head(parts, n, short, shortMax, [one, two, four]) {
  if (n <= shortMax) parts.push(Buffer.of(short | n));
  else if (one && n < 0x100) parts.push(Buffer.of(one, n));
  else if (n < 0x10000) parts.push(Buffer.of(two, n >> 8, n & 0xff));
  else {
    const bytes = Buffer.alloc(5, four);
    bytes.writeUInt32BE(n, 1);
    parts.push(bytes);
  }
}

function put(parts, value) {
  if (value === null) parts.push(Buffer.of(0xc0));
  else if (typeof value === "boolean") parts.push(Buffer.of(value ? 0xc3 : 0xc2));
  else if (Number.isSafeInteger(value)) {
    const bytes = Buffer.alloc(9, 0xd3);
    bytes.writeBigInt64BE(BigInt(value), 1);
    parts.push(value >= 0 && value < 128 ? Buffer.of(value) : bytes);
  } else if (typeof value === "string") {
    if (/\p{Surrogate}/u.test(value)) throw new TypeError("a text holds half a surrogate pair");
    const bytes = Buffer.from(value);
    head(parts, bytes.length, 0xa0, 31, [0xd9, 0xda, 0xdb]);
    parts.push(bytes);
  } else if (value instanceof Uint8Array) {
    head(parts, value.length, 0, -1, [0xc4, 0xc5, 0xc6]);
    parts.push(value);
  } else if (Array.isArray(value)) {
    head(parts, value.length, 0x90, 15, [0, 0xdc, 0xdd]);
    for (const item of value) put(parts, item);
  } else if (typeof value === "object") {
    const pairs = Object.entries(value).filter(([, item]) => item !== undefined);
    head(parts, pairs.length, 0x80, 15, [0, 0xde, 0xdf]);
    for (const pair of pairs) for (const item of pair) put(parts, item);
  } else throw new TypeError(`a ${typeof value} (${String(value)}) cannot be sent`);
}

// Maps come as Map, bin as Buffer. Throws a RangeError or TypeError for anything else than one value.
export function decode(bytes) {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const reader = { buffer, at: 0 };
  const value = take(reader, 0);
  if (reader.at !== buffer.length) throw new RangeError("something follows the map");
  return value;
}

function slice(reader, n) {
  if (n > reader.buffer.length - reader.at) throw new RangeError("it ends too early");
  reader.at += n;
  return reader.buffer.subarray(reader.at - n, reader.at);
}

function integer(reader, size, signed) {
  const bytes = slice(reader, size);
  if (size < 8) return signed ? bytes.readIntBE(0, size) : bytes.readUIntBE(0, size);
  const value = Number(signed ? bytes.readBigInt64BE() : bytes.readBigUInt64BE());
  if (!Number.isSafeInteger(value)) throw new RangeError("an integer is too large");
  return value;
}

function array(reader, n, depth) {
  if (n > reader.buffer.length - reader.at) throw new RangeError("it ends too early");
  const items = [];
  for (let i = 0; i < n; i++) items.push(take(reader, depth + 1));
  return items;
}

function map(reader, n, depth) {
  const items = array(reader, 2 * n, depth);
  const found = new Map();
  for (let i = 0; i < items.length; i += 2) {
    if (typeof items[i] !== "string" || found.has(items[i])) {
      throw new TypeError("a map's keys are texts, and none comes twice");
    }
    found.set(items[i], items[i + 1]);
  }
  return found;
}

function take(reader, depth) {
  if (depth > DEPTH_MAX) throw new RangeError("it is nested too deep");
  const [byte] = slice(reader, 1);
  if (byte < 0x80) return byte;
  if (byte < 0x90) return map(reader, byte & 15, depth);
  if (byte < 0xa0) return array(reader, byte & 15, depth);
  if (byte < 0xc0) return utf8.decode(slice(reader, byte & 31));
  if (byte >= 0xe0) return byte - 0x100;
  switch (byte) {
    case 0xc0: return null;
    case 0xc2: case 0xc3: return byte === 0xc3;
    case 0xc4: case 0xc5: case 0xc6:
      return Buffer.from(slice(reader, integer(reader, 1 << (byte - 0xc4), false)));
    case 0xca: return slice(reader, 4).readFloatBE();
    case 0xcb: return slice(reader, 8).readDoubleBE();
    case 0xcc: case 0xcd: case 0xce: case 0xcf: return integer(reader, 1 << (byte - 0xcc), false);
    case 0xd0: case 0xd1: case 0xd2: case 0xd3: return integer(reader, 1 << (byte - 0xd0), true);
    case 0xd9: case 0xda: case 0xdb:
      return utf8.decode(slice(reader, integer(reader, 1 << (byte - 0xd9), false)));
    case 0xdc: case 0xdd: return array(reader, integer(reader, 2 << (byte - 0xdc), false), depth);
    case 0xde: case 0xdf: return map(reader, integer(reader, 2 << (byte - 0xde), false), depth);
    default: throw new TypeError("an extension type");
  }
}
