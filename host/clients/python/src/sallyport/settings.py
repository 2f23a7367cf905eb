"""Where the host is and who is asking: found as the sallyport command finds them."""
import configparser
import os
import stat
from dataclasses import dataclass, field

from .errors import SettingsError

_Z85 = ("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        ".-:+=^!/*?&<>()[]{}@%$#")
_ENDPOINT = "tcp://127.0.0.1:7250"


def _is_z85(text):
    if len(text) != 40 or not set(text) <= set(_Z85):
        return False
    digits = [_Z85.index(c) for c in text]
    # Five digits are 32 bits, and can say more than those.
    return all(sum(digit * 85 ** (4 - i) for i, digit in enumerate(digits[at:at + 5])) < 1 << 32
               for at in range(0, 40, 5))


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair, as 40 characters of Z85 each."""
    public: str
    secret: str = field(repr=False)

    def __post_init__(self):
        if not (_is_z85(self.public) and _is_z85(self.secret)):
            raise SettingsError("a CURVE key is 40 characters of Z85")

    @staticmethod
    def read(path):
        """A file that `sallyport client keygen` wrote. Refused where others may read it."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise SettingsError("%s: %s" % (path, error.strerror)) from None
        with open(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
                raise SettingsError("%s: others may read or write it; `chmod 600` it, and make a "
                                    "new key if somebody may have read it" % path)
            text = file.read(1024).decode("latin-1")
        words = {}
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            words.setdefault(name, value)
        try:
            return KeyPair(words["public"], words["secret"])
        except (KeyError, SettingsError):
            raise SettingsError("%s: is no CURVE key file; `sallyport client keygen FILE` makes "
                                "one" % path) from None


@dataclass(frozen=True)
class Settings:
    """Endpoint of the client socket, the host's public key, the client's own pair."""
    endpoint: str
    host_key: str
    keys: KeyPair

    @staticmethod
    def find(dir=None, endpoint=None, host_key=None, key_file=None, env=None):
        """What is not given comes from SALLYPORT_DIR, SALLYPORT_ENDPOINT, SALLYPORT_HOST_KEY (Z85 or
        a file) and SALLYPORT_KEY_FILE, then from the state folder's sallyport.conf and host.pub."""
        env = os.environ if env is None else env
        dir = dir or env.get("SALLYPORT_DIR") or _default_dir(env)
        key_file = key_file or env.get("SALLYPORT_KEY_FILE")
        if not key_file:
            raise SettingsError("which client is asking? Give key_file or set SALLYPORT_KEY_FILE "
                                "(`sallyport client keygen FILE` makes one)")
        endpoint = endpoint or env.get("SALLYPORT_ENDPOINT") or _configured_endpoint(dir)
        host_key = host_key or env.get("SALLYPORT_HOST_KEY") or os.path.join(dir, "host.pub")
        return Settings(endpoint, _read_host_key(str(host_key)), KeyPair.read(key_file))


def _default_dir(env):
    if os.geteuid() == 0:
        return "/var/lib/sallyport"
    return os.path.join(env.get("XDG_STATE_HOME") or
                        os.path.join(env.get("HOME") or ".", ".local", "state"), "sallyport")


def _read_text(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(1 << 20)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("%s: %s (dir names the state folder; or give endpoint and host_key)"
                            % (path, error)) from None


def _read_host_key(given):
    text = given if _is_z85(given) else _read_text(given).split("\n")[0].rstrip("\r")
    if not _is_z85(text):
        raise SettingsError("%s: is no host key (40 characters of Z85)" % given)
    return text


def _configured_endpoint(dir):
    path = os.path.join(dir, "sallyport.conf")
    # `sallyport init` may write [host] twice, so repetition is no error.
    config = configparser.ConfigParser(interpolation=None, strict=False,
                                       inline_comment_prefixes=(";",))
    try:
        config.read_string(_read_text(path))
    except configparser.Error as error:
        raise SettingsError("%s: %s" % (path, error)) from None
    return config.get("host", "client_endpoint", fallback="") or _ENDPOINT
