"""Writes a small MMDB file (MaxMind DB format 2.0): a search tree of 24-bit records, then the data, then metadata."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write(path: Path, records: Mapping[str, Any], *, ip_version: int = 6) -> Path:
    """Records by network. In a database of IPv6, IPv4 lies under ``::/96``, as the format has it."""
    tree: list[list[int | None]] = [[None, None]]
    leaves: dict[tuple[int, int], int] = {}
    data = b""
    for text, record in records.items():
        network = ipaddress.ip_network(text)
        deeper = 96 if ip_version == 6 and network.version == 4 else 0
        width = 128 if ip_version == 6 else 32
        bits = f"{int(network.network_address):0{width}b}"[: network.prefixlen + deeper]
        node = 0
        for bit in bits[:-1]:
            if tree[node][int(bit)] is None:
                tree.append([None, None])
                tree[node][int(bit)] = len(tree) - 1
            node = tree[node][int(bit)]  # type: ignore[assignment]
        leaves[node, int(bits[-1])] = len(data)
        data += _encoded(record)
    count = len(tree)
    body = b""
    for number, node in enumerate(tree):
        for side in (0, 1):
            offset = leaves.get((number, side))
            value = count if node[side] is None else node[side]
            body += (value if offset is None else count + 16 + offset).to_bytes(3)  # type: ignore[union-attr]
    metadata: dict[str, Any] = {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1,
        "database_type": "Test",
        "description": {"en": "a test"},
        "ip_version": ip_version,
        "languages": ["en"],
        "node_count": count,
        "record_size": 24,
    }
    kinds = {"node_count": 6, "build_epoch": 9}  # unsigned of 32 and of 64 bits; the other numbers have 16
    head = _head(7, len(metadata)) + b"".join(
        _encoded(key) + (_number(kinds.get(key, 5), value) if isinstance(value, int) else _encoded(value))
        for key, value in metadata.items()
    )
    path.write_bytes(body + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + head)
    return path


def _encoded(value: Any) -> bytes:
    if isinstance(value, bool):
        return _head(14, int(value))
    if isinstance(value, int):
        return _number(6, value)
    if isinstance(value, str):
        raw = value.encode()
        return _head(2, len(raw)) + raw
    if isinstance(value, list):
        return _head(11, len(value)) + b"".join(map(_encoded, value))
    return _head(7, len(value)) + b"".join(_encoded(key) + _encoded(one) for key, one in value.items())


def _number(kind: int, value: int) -> bytes:
    raw = value.to_bytes((value.bit_length() + 7) // 8)
    return _head(kind, len(raw)) + raw


def _head(kind: int, size: int) -> bytes:
    longer = b"" if size < 29 else bytes([size - 29])
    size = min(size, 29)
    return (bytes([size, kind - 7]) if kind > 7 else bytes([kind << 5 | size])) + longer
