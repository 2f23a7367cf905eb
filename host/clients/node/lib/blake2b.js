// BLAKE2b (RFC 7693) with a key and a digest of 32 bytes. Node's own has no key and no other length.

const IV = [0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
            0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n];
// The order of the message's words in each round, a hexadecimal digit each.
const SIGMA = ["0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194",
               "7931dcbe265a40f8", "905724afe1bc683d", "2c6a0b834d75fe19",
               "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5",
               "a2847615fb9e3cd0"].map((row) => [...row].map((digit) => parseInt(digit, 16)));
// Which words of the state each of a round's eight steps mixes: columns, then diagonals.
const STEPS = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
               [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]];
const BLOCK = 128, OUT = 32;

const low = (word) => BigInt.asUintN(64, word);
const turn = (word, bits) => low((word >> bits) | (word << (64n - bits)));

function mix(v, [a, b, c, d], x, y) {
  v[a] = low(v[a] + v[b] + x);
  v[d] = turn(v[d] ^ v[a], 32n);
  v[c] = low(v[c] + v[d]);
  v[b] = turn(v[b] ^ v[c], 24n);
  v[a] = low(v[a] + v[b] + y);
  v[d] = turn(v[d] ^ v[a], 16n);
  v[c] = low(v[c] + v[d]);
  v[b] = turn(v[b] ^ v[c], 63n);
}

function compress(state, block, counted, isLast) {
  const words = Array.from({ length: 16 }, (_, i) => block.readBigUInt64LE(8 * i));
  const v = [...state, ...IV];
  v[12] ^= BigInt(counted);
  if (isLast) v[14] = low(~v[14]);
  for (let round = 0; round < 12; round++) {
    const order = SIGMA[round % 10];
    STEPS.forEach((step, i) => mix(v, step, words[order[2 * i]], words[order[2 * i + 1]]));
  }
  return state.map((word, i) => word ^ v[i] ^ v[i + 8]);
}

// key: 1 to 64 bytes.
export function blake2b(key, data) {
  const input = Buffer.concat([key, Buffer.alloc(BLOCK - key.length), data]);
  let state = [...IV];
  state[0] ^= BigInt(0x01010000 | (key.length << 8) | OUT);
  for (let at = 0; at < input.length; at += BLOCK) {
    const block = Buffer.alloc(BLOCK);
    input.copy(block, 0, at, at + BLOCK);
    const end = Math.min(at + BLOCK, input.length);
    state = compress(state, block, end, end === input.length);
  }
  const out = Buffer.alloc(64);
  state.forEach((word, i) => out.writeBigUInt64LE(word, 8 * i));
  return out.subarray(0, OUT);
}
