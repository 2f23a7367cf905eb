// Answers that come in several messages (docs/protocol.md, "Answers that stream").
//
// A stream has a socket to itself, a DEALER. Credit is granted as parts are read, so what waits here is
// never more than WINDOW parts of 64 KiB.
import { BadReply, Refused, StreamBroken } from "./errors.js";
import { encode } from "./msgpack.js";
import { readStreamed } from "./replies.js";

const WINDOW = 32;
const SILENCE_MS = 5000; // A host says every second that a call lives.
export const STREAM_FIELDS = { stream: true, credit: WINDOW };

// The next message's bytes; undefined after the time-out.
export async function receive(socket, timeoutMs) {
  socket.receiveTimeout = timeoutMs;
  try {
    const frames = await socket.receive();
    if (frames.length !== 2 || frames[0].length) {
      throw new BadReply(`the host's answer has ${frames.length} parts`);
    }
    return frames[1];
  } catch (error) {
    if (error.code === "EAGAIN") return undefined;
    throw error;
  }
}

export class Stream {
  #socket; #whole; #seq = 0; #unread = 0; #broken;

  constructor(socket, requestId) {
    this.#socket = socket;
    this.requestId = requestId;
    this.trailers = [];
  }

  header(name) { return this.headers.find(([one]) => one === name.toLowerCase())?.[1]; }
  trailer(name) { return this.trailers.find(([one]) => one === name.toLowerCase())?.[1]; }

  // Wait for the head. False: nobody said anything. The client's own.
  async begin(timeoutMs) {
    for (let wait = timeoutMs; ; wait = SILENCE_MS) {
      const data = await receive(this.#socket, wait);
      if (!data) return false;
      const { shape, taken } = readStreamed(data, this.requestId);
      if (!shape) continue;
      if (shape !== "head" && shape !== "proxy") {
        throw new BadReply("the host's answer begins without a head", this.requestId);
      }
      this.status = taken.status;
      this.headers = taken.headers;
      this.droppedHeaders = taken.dropped_headers ?? [];
      this.observed = taken.observed ?? false;
      if (shape === "proxy") {
        this.#whole = taken.body;
        this.close();
      }
      return true;
    }
  }

  // The next piece; undefined at the proper end.
  async #next() {
    if (this.#broken) throw this.#broken;
    const whole = this.#whole;
    this.#whole = undefined;
    if (whole?.length) return whole;
    while (this.#socket) {
      const { shape, taken } = await this.#message();
      if (shape === "end") {
        this.trailers = taken.trailers ?? [];
        this.close();
      }
      if (shape !== "part") continue;
      this.#seq++;
      if (++this.#unread >= WINDOW / 2) {
        const message = { v: 1, op: "credit", id: this.requestId, credit: this.#unread };
        this.#unread = 0;
        await this.#socket.send(["", encode(message)]);
      }
      return taken.data;
    }
    return undefined;
  }

  async #message() {
    try {
      const data = await receive(this.#socket, SILENCE_MS);
      if (!data) throw new BadReply("the host was lost");
      const message = readStreamed(data, this.requestId);
      const { shape, taken } = message;
      if (shape && ((shape !== "part" && shape !== "end") || taken.seq !== this.#seq)) {
        throw new BadReply("a part is missing");
      }
      return message;
    } catch (error) {
      this.close();
      if (!(error instanceof Refused || error instanceof BadReply)) throw error;
      this.#broken = new StreamBroken(error.code, error.reason ?? error.message, this.requestId);
      throw this.#broken;
    }
  }

  async* [Symbol.asyncIterator]() {
    try {
      for (let piece; (piece = await this.#next()) !== undefined;) yield piece;
    } finally {
      this.close(); // a loop that is left breaks off the call
    }
  }

  close() {
    this.#socket?.close();
    this.#socket = undefined;
  }
}
