"""Seals what phase-run has to open, with PyNaCl (libsodium) and fresh keys; prints JSON.

    python3 -m pip install --target DIR PyNaCl && PYTHONPATH=DIR python3 seal.py > sealed.json

Nothing here is phase-run's: an account's token and wrapped key share, an environment's key, and rows,
put together from libsodium's functions as Phase's documents say.
"""

import base64
import json
import os

from nacl import bindings



def seal(text: bytes, key: bytes) -> bytes:
    nonce = os.urandom(bindings.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
    sealed = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(text, b"", nonce, key)
    return sealed + nonce


def box(text: str, public: bytes) -> str:
    sender, private = bindings.crypto_kx_keypair()
    _, key = bindings.crypto_kx_client_session_keys(sender, private, public)
    sealed = base64.b64encode(seal(text.encode(), key)).decode()
    return f"ph:v1:{sender.hex()}:{sealed}"


def main() -> None:
    public, private = bindings.crypto_kx_keypair()
    share, unwrap = os.urandom(32), os.urandom(32)
    other = bytes(one ^ two for one, two in zip(private, share))
    seed = os.urandom(32)
    environment, _ = bindings.crypto_kx_seed_keypair(seed)
    values = {
        "EMPTY": "",
        "PLAIN": "hunter2",
        "TEXT": "grüß 👋 \u0001\u001b[31m\r\nline two\t",
        "QUOTED": "\"'`$(id) ${{ x }} \\",
        "LONG": os.urandom(8).hex() * 128,
    }
    values |= {f"LENGTH_{length}": "x" * length for length in range(1, 35)}
    rows = [
        {"key": box(key, environment), "value": box(value, environment)}
        for key, value in values.items()
    ]
    answer = {
        "keys": ":".join(part.hex() for part in (public, share, unwrap)),
        "wrapped_key_share": seal(other.hex().encode(), unwrap).hex(),
        "identity_key": environment.hex(),
        "wrapped_seed": box(seed.hex(), public),
        "rows": rows,
        "values": values,
    }
    print(json.dumps(answer, indent=1))


main()
