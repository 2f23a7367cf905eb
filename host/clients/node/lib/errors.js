// What can go wrong. Every error of this package is a SallyportError.

const RETRYABLE = ["sealed", "busy", "shutting_down", "clock", "rate_limited", "budget_exceeded",
                   "live_limit", "audit_unavailable", "upstream_unreachable"];
const FINAL = ["bad_request", "unknown_op", "too_large", "not_permitted", "token_invalid",
               "token_expired", "token_revoked", "token_suspended", "token_binding", "not_allowed", "denied",
               "key_not_in_scope", "key_unknown", "ambiguous_key", "scope_unknown", "not_granted",
               "conflict", "outcome_unknown", "answer_dropped", "upstream_failed",
               "upstream_timeout", "upstream_blocked", "response_too_large", "response_blocked",
               "exists", "not_found", "internal"];

// The codes of protocol version 1, and whether each is retryable. A newer host may send others: go
// by Refused's own `retryable`.
export const CODES = Object.freeze(Object.fromEntries(
  [...RETRYABLE.map((code) => [code, true]), ...FINAL.map((code) => [code, false])]));

export class SallyportError extends Error {
  get name() { return this.constructor.name; }
}

// Connection settings or a key file are missing or wrong; or the text given is no token.
export class SettingsError extends SallyportError {}

// No connection came about, so nothing was sent. A host refuses unknown keys without a word.
export class NotConnected extends SallyportError {}

// The request was sent and no answer came. What it asked for may have happened. After proxy(), repeat
// it with this requestId: the host then makes the call at most once.
export class NoAnswer extends SallyportError {
  constructor(message, requestId) {
    super(message);
    this.requestId = requestId;
  }
}

// The answer is no reply of the protocol. As after NoAnswer, the request may have had its effect.
export class BadReply extends SallyportError {
  constructor(message, requestId) {
    super(message);
    this.requestId = requestId;
  }
}

// The host's answer is no.
export class Refused extends SallyportError {
  constructor(error, requestId) {
    super(`${error.code}: ${error.reason}${error.rule ? ` [rule ${error.rule}]` : ""}`);
    this.code = error.code;
    this.reason = error.reason;
    this.rule = error.rule;
    this.hint = error.hint;
    this.retryable = error.retryable;
    this.retryAfterMs = error.retry_after_ms;
    this.detail = error.detail ?? "";
    this.requestId = requestId;
  }
}

// A stream ended before its end: what was read is not the whole. `code` says why where the host did;
// undefined: the host was lost.
export class StreamBroken extends SallyportError {
  constructor(code, reason, requestId) {
    super(`the answer broke off: ${code ? `${code}: ` : ""}${reason}`);
    this.code = code;
    this.reason = reason;
    this.requestId = requestId;
  }
}

// The call was begun before the host crashed: look at the upstream, then use a fresh id.
export class OutcomeUnknown extends Refused {}
