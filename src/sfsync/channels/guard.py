"""Where callbacks may go: to an address that their name was resolved to once, if that one may be reached.

Whoever may set a callback's URL could otherwise have this machine call what only it can reach (SSRF): the
house's own network, the machine itself, a cloud's metadata service. So the name is resolved here, every
address it has is judged, and the connection goes to a judged address: a name that answers otherwise a moment
later (DNS rebinding) finds nobody asking. The certificate is still checked against the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

# Never a receiver, whatever may be reached besides: they hand out a machine's own credentials.
_METADATA = frozenset(
    {
        ipaddress.ip_address("169.254.169.254"),
        ipaddress.ip_address("100.100.100.200"),
        ipaddress.ip_address("fd00:ec2::254"),
    }
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class ForbiddenAddressError(OSError):
    """A name leads to where no callback may go."""


def forbidden(address: str, *, allow_private: bool) -> str:
    """Why no callback may go to an IP address; empty when one may. An IPv4 address within an IPv6 one counts.

    `allow_private` lets loopback and private networks pass; never link-local, metadata, multicast or reserved
    ones.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "is no IP address"
    for each in (found, *_within(found)):
        if reason := _forbidden(each, allow_private=allow_private):
            return reason
    return ""


def _forbidden(address: Address, *, allow_private: bool) -> str:
    if address in _METADATA:
        return "is a metadata service"
    if address.is_unspecified:
        return "is no receiver"
    if address.is_multicast:
        return "is a multicast address"
    if address.is_loopback:
        return "" if allow_private else "is this machine itself"
    if address.is_link_local:
        return "is a link-local address"
    if address.is_global:
        return ""
    if address.is_reserved and (address.version == 4 or not address.is_private):
        return "is a reserved address"
    return "" if allow_private else "is in a private network"


def _within(address: Address) -> tuple[Address, ...]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    found: list[Address] = []
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.extend(address.teredo)
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(found)


def judged(host: str, addresses: Sequence[str], *, allow_private: bool) -> Sequence[str]:
    """The addresses of a host. Raises `ForbiddenAddressError` when a callback may not go to one of them."""
    if not addresses:
        raise OSError(f"{host} has no address")
    for address in addresses:
        if reason := forbidden(address, allow_private=allow_private):
            told = address if address == host else f"{host} leads to {address}, which"
            raise ForbiddenAddressError(f"{told} {reason}")
    return addresses


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """The addresses that this machine's resolver knows of a name."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedResolver(AbstractResolver):
    """Resolves names for connections, to judged addresses only."""

    def __init__(self, *, allow_private: bool, lookup: Lookup = system_lookup) -> None:
        self._allow_private, self._lookup = allow_private, lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Where to connect to. Raises OSError."""
        found = judged(host, await self._lookup(host, port), allow_private=self._allow_private)
        return [self._result(host, address, port) for address in found]

    @staticmethod
    def _result(host: str, address: str, port: int) -> ResolveResult:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)

    async def close(self) -> None:
        """Nothing is kept."""


def forbidden_by(error: BaseException) -> str:
    """What the guard said when a request failed because of it; empty when it failed for another reason."""
    seen: Any = error
    while seen is not None:
        if isinstance(seen, ForbiddenAddressError):
            return str(seen)
        seen = getattr(seen, "os_error", None) or seen.__cause__ or seen.__context__
    return ""
