// Client: every operation is a promise, and any number may be under way at once.
//
// Each request has a socket of its own while it is under way; idle ones are kept. A new one asks
// `status` first: that tells within connectTimeoutMs whether a connection comes about at all, before
// anything that has an effect is sent.
import { randomUUID } from "node:crypto";
import { Dealer, Request } from "zeromq";
import { BadReply, NoAnswer, NotConnected } from "./errors.js";
import { encode } from "./msgpack.js";
import { expectReply, read } from "./replies.js";
import { findSettings } from "./settings.js";
import { STREAM_FIELDS, Stream, receive } from "./streams.js";

const IDLE_MAX = 8;
const REPLY_MAX = 64 * 2 ** 20;
const PROBE = encode({ v: 1, op: "status" });

export class Client {
  #settings; #options; #idle = []; #closed = false;

  constructor({ settings, timeoutMs = 70000, connectTimeoutMs = 5000, attempts = 2, ...found } = {}) {
    this.#settings = settings ?? findSettings(found);
    this.#options = { timeoutMs, connectTimeoutMs, attempts };
  }

  // Never repeated: a second one would be a second token.
  issue(scope, { args, ttl, narrow, bind } = {}) {
    return this.#ask("issue", { scope, args, ttl, narrow, bind }, undefined, 1);
  }

  proxy(token, method, url, { headers, body, key, id } = {}) {
    return this.#ask("proxy", { token, method, url, key, headers: pairs(headers), body }, id);
  }

  // Sent once: the host does not keep what streamed.
  async stream(token, method, url, { headers, body, key, id = randomUUID() } = {}) {
    if (this.#closed) throw new NotConnected("the client is closed");
    const data = encode({ v: 1, op: "proxy", id, token, method, url, key, headers: pairs(headers),
                          body, ...STREAM_FIELDS });
    const socket = this.#open(Dealer);
    const stream = new Stream(socket, id);
    let begun = false;
    try {
      await socket.send(["", PROBE]);
      const probed = await receive(socket, this.#options.connectTimeoutMs);
      if (!probed) throw this.#notConnected();
      expectReply(probed);
      await socket.send(["", data]);
      begun = await stream.begin(this.#options.timeoutMs);
      if (!begun) throw this.#noAnswer("proxy", id);
      return stream;
    } finally {
      if (!begun) stream.close();
    }
  }

  check(token, method, url, { headers, body, key } = {}) {
    return this.#ask("check", { token, method, url, key, headers: pairs(headers), body });
  }

  inspect(token) { return this.#ask("inspect", { token }); }

  revoke({ token, root }) { return this.#ask("revoke", { token, root }); }

  status() { return this.#ask("status", {}); }

  close() {
    this.#closed = true;
    for (const socket of this.#idle.splice(0)) socket.close();
  }

  #open(Kind = Request) {
    const { endpoint, hostKey, keys } = this.#settings;
    const socket = new Kind({ linger: 0, maxMessageSize: REPLY_MAX, curveServerKey: hostKey,
                              curvePublicKey: keys.public, curveSecretKey: keys.secret });
    socket.connect(endpoint);
    return socket;
  }

  // The reply's bytes; undefined after the time-out.
  async #exchange(socket, data, timeoutMs) {
    socket.receiveTimeout = timeoutMs;
    try {
      await socket.send(data);
      const frames = await socket.receive();
      if (frames.length !== 1) throw new BadReply(`the host's answer has ${frames.length} parts`);
      return frames[0];
    } catch (error) {
      if (error.code === "EAGAIN") return undefined;
      throw error;
    }
  }

  async #attempt(data) {
    if (this.#closed) throw new NotConnected("the client is closed");
    let socket = this.#idle.pop();
    let reply;
    try {
      if (!socket) {
        socket = this.#open();
        const probed = await this.#exchange(socket, PROBE, this.#options.connectTimeoutMs);
        if (!probed) return { sent: false };
        expectReply(probed);
      }
      reply = await this.#exchange(socket, data, this.#options.timeoutMs);
      return { sent: true, reply };
    } finally {
      if (reply && !this.#closed && this.#idle.length < IDLE_MAX) this.#idle.push(socket);
      else socket?.close();
    }
  }

  // The bytes are made once, so that an attempt repeats what the first one sent.
  async #ask(op, fields, id = randomUUID(), attempts = this.#options.attempts) {
    const data = encode({ v: 1, op, id, ...fields });
    let wasSent = false;
    for (let i = 0; i < Math.max(1, attempts); i++) {
      const { sent, reply } = await this.#attempt(data);
      wasSent ||= sent;
      if (reply) return read(reply, op, id);
      if (!wasSent) throw this.#notConnected();
    }
    throw this.#noAnswer(op, id);
  }

  #notConnected() {
    return new NotConnected(`no answer from ${this.#settings.endpoint} in `
      + `${this.#options.connectTimeoutMs} ms: no host is listening there, the host key is another `
      + "one, or this client key is not registered (a host refuses unknown keys without a word). "
      + "Nothing was sent");
  }

  #noAnswer(op, id) {
    return new NoAnswer(`no answer from ${this.#settings.endpoint} to '${op}': it may have been carried `
      + `out. Request id ${id}`, id);
  }
}

function pairs(headers) {
  if (headers === undefined) return undefined;
  return typeof headers[Symbol.iterator] === "function" ? Array.from(headers, (pair) => [...pair])
                                                        : Object.entries(headers);
}
