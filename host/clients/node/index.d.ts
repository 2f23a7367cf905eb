/** The codes of protocol version 1. A newer host may send others. */
export type Code =
  | "bad_request" | "unknown_op" | "too_large" | "sealed" | "busy" | "shutting_down"
  | "not_permitted" | "token_invalid" | "token_expired" | "token_revoked" | "token_suspended" | "token_binding"
  | "clock" | "not_allowed" | "denied" | "rate_limited" | "budget_exceeded" | "key_not_in_scope"
  | "key_unknown" | "ambiguous_key" | "scope_unknown" | "not_granted" | "live_limit" | "conflict"
  | "outcome_unknown" | "answer_dropped" | "audit_unavailable" | "upstream_unreachable"
  | "upstream_failed" | "upstream_timeout" | "upstream_blocked" | "response_too_large"
  | "response_blocked" | "exists" | "not_found" | "internal";

/** Each code, and whether it is retryable. */
export const CODES: Readonly<Record<Code, boolean>>;

/** The base of all errors of this package. */
export class SallyportError extends Error {}
/** Settings or a key file are missing or wrong; or the text given is no token. */
export class SettingsError extends SallyportError {}
/** No host, another host key, or a client key that it does not know: nothing was sent. */
export class NotConnected extends SallyportError {}
/** It was sent, no answer came, and it may have happened. proxy() may be repeated with this id. */
export class NoAnswer extends SallyportError {
  readonly requestId: string;
}
/** The answer is no reply of the protocol; the request may have had its effect. */
export class BadReply extends SallyportError {
  readonly requestId?: string;
}
/** The host's answer is no. */
export class Refused extends SallyportError {
  readonly code: Code | (string & {});
  readonly reason: string;
  /** The label of the rule that decided or came nearest; "" for none. */
  readonly rule: string;
  readonly hint: string;
  /** The same request may succeed later without anybody changing it. */
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly detail: string;
  readonly requestId: string;
}
/** A stream ended before its end: what was read is not the whole. */
export class StreamBroken extends SallyportError {
  /** Why, where the host said so; undefined: the host was lost. */
  readonly code?: Code | (string & {});
  readonly reason: string;
  readonly requestId: string;
}
/** The call was begun before the host crashed: look at the upstream, then use a fresh id. */
export class OutcomeUnknown extends Refused {}

export interface KeyPair {
  readonly public: string;
  readonly secret: string;
}
export interface Settings {
  readonly endpoint: string;
  readonly hostKey: string;
  readonly keys: KeyPair;
}
export interface Find {
  /** The host's state folder (SALLYPORT_DIR). */
  dir?: string;
  /** The client socket (SALLYPORT_ENDPOINT; else the state folder's sallyport.conf). */
  endpoint?: string;
  /** The host's public key, Z85 or a file (SALLYPORT_HOST_KEY; else host.pub). */
  hostKey?: string;
  /** The client's own key file (SALLYPORT_KEY_FILE). */
  keyFile?: string;
  env?: Record<string, string | undefined>;
}
/** Where the host is and who is asking, as the sallyport command finds them. */
export function findSettings(find?: Find): Settings;
/** A file that `sallyport client keygen` wrote; refused where others may read it. */
export function readKeyPair(file: string): KeyPair;

export interface ClientOptions extends Find {
  settings?: Settings;
  /** For one attempt; the host gives an upstream 60 s. Default 70000. */
  timeoutMs?: number;
  /** Until it is certain that no connection comes about. Default 5000. */
  connectTimeoutMs?: number;
  /** How often what may be repeated is sent, under one id. Default 2. */
  attempts?: number;
}
export type Headers = Record<string, string> | Iterable<readonly [string, string]>;
export interface CallOptions {
  headers?: Headers;
  body?: string | Uint8Array;
  /** A key id, where the scope has two for this host. */
  key?: string;
}
export interface JsonScope {
  allowedKeyIds: string[];
  allowedProviders?: string[];
  allowedMethods: string[];
  allowedDomains: string[];
  rateLimitPerMinute?: number;
  expiresIn?: string | number;
}
export interface IssueOptions {
  args?: Record<string, string>;
  /** "4h", or whole seconds. */
  ttl?: string | number;
  /** Rules that restrict the scope. */
  narrow?: string;
  /** The only CURVE key that may use the token. */
  bind?: string;
}
export interface Issued {
  token: string;
  /** Names the token; no secret. */
  root: string;
  scope: string;
  /** Unix time in milliseconds. */
  expires: number;
  expiresInMs: number;
}
/** The upstream's answer, whatever its status. */
export class Answer {
  readonly status: number;
  /** In order of arrival, names in lower case; bytes where a value is no UTF-8. */
  readonly headers: [string, string | Buffer][];
  readonly body: Buffer;
  /** Yours that were not sent on. */
  readonly droppedHeaders: string[];
  readonly observed: boolean;
  /** This is the stored answer to an earlier request of the same id. */
  readonly replayed: boolean;
  readonly requestId: string;
  header(name: string): string | Buffer | undefined;
  text(): string;
  json(): any;
}
/** An answer whose body is read as it comes: `for await (const piece of stream)`. */
export class Stream implements AsyncIterable<Buffer> {
  readonly status: number;
  readonly headers: [string, string | Buffer][];
  readonly droppedHeaders: string[];
  readonly observed: boolean;
  readonly requestId: string;
  /** What the upstream said behind the body, as headers; empty until the proper end. */
  readonly trailers: [string, string | Buffer][];
  header(name: string): string | Buffer | undefined;
  trailer(name: string): string | Buffer | undefined;
  [Symbol.asyncIterator](): AsyncIterator<Buffer>;
  /** Before its end, too; so does leaving the loop. */
  close(): void;
}
export interface Checked {
  allowed: boolean;
  code: "ok" | Code | (string & {});
  reason: string;
  rule: string;
  hint: string;
  key?: string;
}
export interface Inspected {
  root: string;
  principal: string;
  scope: string;
  scopeText: string;
  narrow?: string;
  caveats: string[];
  bind?: string;
  issued: number;
  expires: number;
  revoked?: number;
  guard_hits?: number;
  guard_key?: string;
  suspended?: number;
  expired: boolean;
}
export interface Status {
  version: string;
  protocol: number;
  state: "ready" | "sealed" | "failed" | (string & {});
  ready: boolean;
}

export class Client {
  constructor(options?: ClientOptions);
  /** A token for a scope's name or the JSON scope form. Never repeated. */
  issue(scope: string | JsonScope, options?: IssueOptions): Promise<Issued>;
  /** One HTTP call with the key; after a time-out repeated under its id, with one effect at most. */
  proxy(token: string, method: string, url: string,
        options?: CallOptions & { id?: string }): Promise<Answer>;
  /** As proxy(), but the body is read as it comes. Sent once. */
  stream(token: string, method: string, url: string,
         options?: CallOptions & { id?: string }): Promise<Stream>;
  /** Whether proxy() would be allowed; nothing is sent upstream. */
  check(token: string, method: string, url: string, options?: CallOptions): Promise<Checked>;
  inspect(token: string): Promise<Inspected>;
  /** By the token itself, or, as its principal, by root id. */
  revoke(which: { token: string } | { root: string }): Promise<{ root: string }>;
  status(): Promise<Status>;
  /** Idle connections at once, those under way when they end. */
  close(): void;
}

/** The token that may do what `token` may and `caveat` lets through as well; offline. */
export function narrow(token: string, caveat: string): string;
