"""Client of sallyport, a broker for API keys: short-lived tokens and calls, over ZeroMQ under CURVE.

    with sallyport.Client() as desk:
        token = desk.issue("support-agent").token
        answer = desk.proxy(token, "GET", "https://api.stripe.com/v1/charges/ch_1")

AsyncClient has the same methods for asyncio. narrow() needs no host.
"""
from .client import AsyncClient, Client
from .errors import (CODES, BadReply, NoAnswer, NotConnected, OutcomeUnknown, Refused,
                     SallyportError, SettingsError, StreamBroken)
from .replies import Answer, Checked, Inspected, Issued, Revoked, Status
from .settings import KeyPair, Settings
from .streams import AsyncStream, Stream
from .tokens import narrow

__all__ = ["Answer", "AsyncClient", "AsyncStream", "BadReply", "CODES", "Checked", "Client", "Inspected", "Issued",
           "KeyPair", "NoAnswer", "NotConnected", "OutcomeUnknown", "Refused", "Revoked",
           "SallyportError", "Settings", "SettingsError", "Status", "Stream", "StreamBroken", "narrow"]
