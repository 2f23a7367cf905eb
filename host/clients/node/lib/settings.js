// Where the host is and who is asking: found as the sallyport command finds them.
import fs from "node:fs";
import path from "node:path";
import { SettingsError } from "./errors.js";

const Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
const ENDPOINT = "tcp://127.0.0.1:7250";

export function isZ85Key(text) {
  if (typeof text !== "string" || text.length !== 40) return false;
  const digits = [...text].map((one) => Z85.indexOf(one));
  if (digits.length !== 40 || digits.includes(-1)) return false;
  // Five digits are 32 bits, and can say more than those.
  for (let at = 0; at < 40; at += 5) {
    if (digits.slice(at, at + 5).reduce((sum, one) => sum * 85 + one, 0) > 0xffffffff) return false;
  }
  return true;
}

// A file that `sallyport client keygen` wrote: { public, secret }. Refused where others may read it.
export function readKeyPair(file) {
  let text;
  try {
    const { O_RDONLY, O_NOFOLLOW = 0 } = fs.constants;
    const fd = fs.openSync(file, O_RDONLY | O_NOFOLLOW);
    try {
      const found = fs.fstatSync(fd);
      if (!found.isFile() || found.mode & 0o077) {
        throw new SettingsError(`${file}: others may read or write it; \`chmod 600\` it, and make a `
          + "new key if somebody may have read it");
      }
      text = fs.readFileSync(fd, "latin1");
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    throw error instanceof SettingsError ? error : new SettingsError(error.message);
  }
  const value = (name) => new RegExp(`^${name} (.*?)\\r?$`, "m").exec(text)?.[1];
  const pair = { public: value("public"), secret: value("secret") };
  if (!isZ85Key(pair.public) || !isZ85Key(pair.secret)) {
    throw new SettingsError(`${file}: is no CURVE key file; \`sallyport client keygen FILE\` makes one`);
  }
  return pair;
}

function readText(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch (error) {
    throw new SettingsError(`${error.message} (dir names the state folder; or give endpoint and hostKey)`);
  }
}

function defaultDir(env) {
  if (process.geteuid?.() === 0) return "/var/lib/sallyport";
  return path.join(env.XDG_STATE_HOME || path.join(env.HOME || ".", ".local", "state"), "sallyport");
}

function readHostKey(given) {
  const text = isZ85Key(given) ? given : readText(given).split(/\r?\n/)[0];
  if (!isZ85Key(text)) throw new SettingsError(`${given}: is no host key (40 characters of Z85)`);
  return text;
}

function configuredEndpoint(dir) {
  let section = "", endpoint = "";
  for (const line of readText(path.join(dir, "sallyport.conf")).split(/\r?\n/)) {
    const head = /^\s*\[([^\]]*)\]/.exec(line);
    const pair = /^\s*client_endpoint\s*[=:]\s*(.*?)\s*(?:\s;.*)?$/.exec(line);
    if (head) section = head[1];
    else if (pair && section === "host") endpoint = pair[1];
  }
  return endpoint || ENDPOINT;
}

// What is not given comes from SALLYPORT_DIR, SALLYPORT_ENDPOINT, SALLYPORT_HOST_KEY (Z85 or a file) and
// SALLYPORT_KEY_FILE, then from the state folder's sallyport.conf and host.pub.
export function findSettings({ dir, endpoint, hostKey, keyFile, env = process.env } = {}) {
  const folder = dir || env.SALLYPORT_DIR || defaultDir(env);
  const file = keyFile || env.SALLYPORT_KEY_FILE;
  if (!file) {
    throw new SettingsError("which client is asking? Give keyFile or set SALLYPORT_KEY_FILE "
      + "(`sallyport client keygen FILE` makes one)");
  }
  return {
    endpoint: endpoint || env.SALLYPORT_ENDPOINT || configuredEndpoint(folder),
    hostKey: readHostKey(hostKey || env.SALLYPORT_HOST_KEY || path.join(folder, "host.pub")),
    keys: readKeyPair(file),
  };
}
