"""What can go wrong. Every exception of this package is a SallyportError."""

# The codes of protocol version 1 (docs/protocol.md, "Errors"), and whether each is retryable. A
# newer host may send others: go by Refused.retryable then.
CODES = {
    "bad_request": False, "unknown_op": False, "too_large": False, "sealed": True, "busy": True,
    "shutting_down": True, "not_permitted": False, "token_invalid": False,
    "token_expired": False, "token_revoked": False, "token_suspended": False, "token_binding": False, "clock": True,
    "not_allowed": False, "denied": False, "rate_limited": True, "budget_exceeded": True,
    "key_not_in_scope": False, "key_unknown": False, "ambiguous_key": False,
    "scope_unknown": False, "not_granted": False, "live_limit": True, "conflict": False,
    "outcome_unknown": False, "answer_dropped": False, "audit_unavailable": True,
    "upstream_unreachable": True, "upstream_failed": False, "upstream_timeout": False,
    "upstream_blocked": False, "response_too_large": False, "response_blocked": False,
    "exists": False, "not_found": False, "internal": False,
}


class SallyportError(Exception):
    """The base of all."""


class SettingsError(SallyportError, ValueError):
    """Connection settings or a key file are missing or wrong; or the text given is no token."""


class NotConnected(SallyportError):
    """No connection came about, so nothing was sent and nothing has happened. A host refuses
    unknown keys without a word: a wrong key and no host look the same."""


class NoAnswer(SallyportError):
    """The request was sent and no answer came. What it asked for may have happened. After a
    proxy(), repeat it with id=error.request_id: the host then makes the call at most once."""

    def __init__(self, text, request_id):
        super().__init__(text)
        self.request_id = request_id


class BadReply(SallyportError):
    """The answer is no reply of the protocol. As after NoAnswer, the request may have had its
    effect."""

    def __init__(self, text, request_id=None):
        super().__init__(text)
        self.request_id = request_id


class Refused(SallyportError):
    """The host's answer is no. `code` is for programs, `reason` and `hint` are for people, `rule`
    is the label of the rule that decided or came nearest; `retryable`: the same request may
    succeed later, after `retry_after_ms` where the host knows (else None)."""

    def __init__(self, error, request_id):
        self.code = error["code"]
        self.reason, self.rule, self.hint = error["reason"], error["rule"], error["hint"]
        self.retryable = error["retryable"]
        self.retry_after_ms = error.get("retry_after_ms")
        self.detail = error.get("detail", "")
        self.request_id = request_id
        super().__init__("%s: %s%s" % (self.code, self.reason,
                                       " [rule %s]" % self.rule if self.rule else ""))


class StreamBroken(SallyportError):
    """A stream ended before its end: what was read is not the whole. `code` says why where the host
    did (token_revoked, response_blocked, upstream_failed, …); None: the host was lost."""

    def __init__(self, code, reason, request_id):
        super().__init__("the answer broke off: %s" % (reason if code is None else
                                                       "%s: %s" % (code, reason)))
        self.code, self.reason, self.request_id = code, reason, request_id


class OutcomeUnknown(Refused):
    """The call was begun before the host crashed: look at the upstream, then use a fresh id."""
