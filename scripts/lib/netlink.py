"""The few netlink messages that removing an instance and looking at a host need: links and nftables tables.

Spoken directly, because `ip` and `nft` are not on every machine that runs the runtime.
"""

import errno
import os
import socket
import struct

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND = 16, 17, 3, 18, 1
NLM_F_CREATE, NLM_F_EXCL = 0x400, 0x200
# include/uapi/linux/netfilter/nfnetlink.h and nf_tables.h
NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE, NFTA_TABLE_NAME = 10, 1, 1
TIMEOUT = 10.0


def attribute(kind, value):
    return struct.pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def message(kind, flags, body, sequence=1):
    return struct.pack("=IHHII", len(body) + 16, kind, flags | NLM_F_REQUEST, sequence, 0) + body


def replies(data):
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:length]
        data = data[(length + 3) & ~3:]


def talk(family, request, until_done):
    """Sends a request and yields the bodies of its answers; an error of the kernel is raised."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family) as link:
        link.settimeout(TIMEOUT)
        link.bind((0, 0))
        link.send(request)
        while True:
            for kind, body in replies(link.recv(1 << 20)):
                if kind == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return
                if kind == NLMSG_DONE:
                    return
                yield body
            if not until_done:
                return


def ports(bridge):
    """How many ports a bridge has; 0 also if there is no such bridge."""
    try:
        return len(os.listdir(f"/sys/class/net/{bridge}/brif"))
    except FileNotFoundError:
        return 0


def link_header():
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)


def create_link(name, kind):
    info = attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, kind.encode()))
    body = link_header() + attribute(IFLA_IFNAME, name.encode() + b"\0") + info
    list(talk(NETLINK_ROUTE, message(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, body), True))


def delete_link(name):
    request = message(RTM_DELLINK, NLM_F_ACK, link_header() + attribute(IFLA_IFNAME, name.encode() + b"\0"))
    try:
        list(talk(NETLINK_ROUTE, request, True))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def tables(strict=False):
    """(family, name) of every nftables table; where the kernel has no nftables none, or with `strict` an error."""
    request = message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, NLM_F_DUMP, struct.pack("=BBH", socket.AF_UNSPEC, 0, 0))
    found = []
    try:
        for body in talk(NETLINK_NETFILTER, request, True):
            family, data = body[0], body[4:]
            while len(data) >= 4:
                length, kind = struct.unpack_from("=HH", data)
                if kind == NFTA_TABLE_NAME:
                    found.append((family, data[4:length].rstrip(b"\0").decode()))
                data = data[(length + 3) & ~3:]
    except OSError as error:
        if strict or error.errno not in (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL):
            raise
    return found
