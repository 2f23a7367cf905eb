// Client of sallyport, a broker for API keys: short-lived tokens and calls, over ZeroMQ under CURVE.
export { Client } from "./lib/client.js";
export { BadReply, CODES, NoAnswer, NotConnected, OutcomeUnknown, Refused, SallyportError,
         SettingsError, StreamBroken } from "./lib/errors.js";
export { Answer } from "./lib/replies.js";
export { Stream } from "./lib/streams.js";
export { findSettings, readKeyPair } from "./lib/settings.js";
export { narrow } from "./lib/tokens.js";
