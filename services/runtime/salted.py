"""Recordings that an agent encrypted: ``Salted__``, eight bytes of salt, then AES-256-CBC, padded by PKCS#7.

Key and IV come of passphrase and salt by OpenSSL's EVP_BytesToKey (MD5, one round), as
`openssl aes-256-cbc -md md5` does it. There is no checksum: the right passphrase is the one with which the
first block looks like the start of an MP4 and the last block ends in a valid padding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from services.contracts.kerberos import SALTED, starts_like_mp4
from services.runtime.errors import Reject

BLOCK = 16
CHUNK = 1 << 20
VARIABLE = "PLATEFLOW_VAULT_DECRYPTION_KEYS"


def is_salted(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SALTED)) == SALTED


def decrypted(path: Path, passphrases: Sequence[str]) -> Iterator[bytes]:
    """The plain bytes of an encrypted recording, chunk by chunk.

    Reject ``encrypted`` where no passphrase is configured, ``wrong-key`` where none fits, ``truncated``
    where the last block is not the end.
    """
    if not passphrases:
        raise Reject("encrypted", "the recording is encrypted: set PLATEFLOW_VAULT_DECRYPTION_KEYS to the agent's key")
    with path.open("rb") as file:
        salt = file.read(BLOCK)[len(SALTED) :]
        body = path.stat().st_size - BLOCK
        if len(salt) < 8 or body < BLOCK or body % BLOCK:
            raise Reject("truncated", "the encrypted recording is not made of whole blocks: it was cut off")
        yield from _plain(file, _fitting(file, salt, passphrases))


def key_and_iv(passphrase: str, salt: bytes) -> tuple[bytes, bytes]:
    """EVP_BytesToKey with MD5 and one round: key (32 bytes) and IV (16 bytes)."""
    derived = last = b""
    while len(derived) < 48:
        last = hashlib.md5(last + passphrase.encode() + salt, usedforsecurity=False).digest()
        derived += last
    return derived[:32], derived[32:48]


def _fitting(file: BinaryIO, salt: bytes, passphrases: Sequence[str]) -> CipherContext:
    """A fresh decryptor with the passphrase that turns the first block into the start of an MP4."""
    first = file.read(BLOCK)
    file.seek(BLOCK)
    for passphrase in passphrases:
        if starts_like_mp4(_decryptor(passphrase, salt).update(first)):
            return _decryptor(passphrase, salt)
    raise Reject(
        "wrong-key",
        "no configured key decrypts the recording: add the agent's key to PLATEFLOW_VAULT_DECRYPTION_KEYS",
    )


def _decryptor(passphrase: str, salt: bytes) -> CipherContext:
    key, iv = key_and_iv(passphrase, salt)
    return Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()


def _plain(file: BinaryIO, decryptor: CipherContext) -> Iterator[bytes]:
    unpadder = PKCS7(BLOCK * 8).unpadder()
    while chunk := file.read(CHUNK):
        yield unpadder.update(decryptor.update(chunk))
    try:
        yield unpadder.update(decryptor.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise Reject("truncated", "the encrypted recording does not end in a valid padding: it was cut off") from error
