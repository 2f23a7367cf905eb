"""Helpers of the end-to-end tests: a real sallyportd in a folder of its own, and clients that speak
its wire with pyzmq and msgpack, independently of sallyport's own code.

    with Host(folder) as host:
        desk = Curve()
        host.write_policy("p.scope", "sallyport 1\n…")
        host.start()
        host.key_add("k1", "rest", {"host": "api.example.com", …}, {"api_key": canary("x")})
        token = host.client(desk).ok("issue", scope="s")["token"]
"""
from .client import Client, NoAnswer, Refused
from .curve import Curve
from .faults import Faults
from .host import BUILD, Host, build_file, command, is_instrumented, is_sanitized
from .search import canary, forms, occurrences

__all__ = ["BUILD", "Client", "Curve", "Faults", "Host", "NoAnswer", "Refused", "build_file",
           "canary", "command", "forms", "is_instrumented", "is_sanitized", "occurrences"]
