"""Recordings that an agent encrypted, as OpenSSL writes them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from services.runtime.errors import Reject
from services.runtime.salted import decrypted, is_salted, key_and_iv
from tests.support.recordings import mp4, noise

PASSPHRASE = "made-up-key-of-thirty-two-chars!"
OPENSSL = shutil.which("openssl")
KEY_HEX = "A028AED8EC48FA53790F040045D08F24768B9A74FCB6BDDEB20E0E28A429B3C6"
IV_HEX = "A650116C73B4C587A106503B81F36596"


def encrypt(clip: bytes, passphrase: str = PASSPHRASE) -> bytes:
    """What an agent uploads in place of ``clip``: by the openssl command where there is one."""
    if OPENSSL is None:
        return encrypt_here(clip, passphrase)
    command = [OPENSSL, "enc", "-aes-256-cbc", "-md", "md5", "-salt", "-k", passphrase]
    return subprocess.run(command, input=clip, capture_output=True, check=True).stdout


def encrypt_here(clip: bytes, passphrase: str) -> bytes:
    salt = os.urandom(8)
    key, iv = key_and_iv(passphrase, salt)
    padder, encryptor = PKCS7(128).padder(), Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return b"Salted__" + salt + encryptor.update(padder.update(clip) + padder.finalize()) + encryptor.finalize()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clip.mp4"


def reason(file: Path, *passphrases: str) -> str:
    with pytest.raises(Reject) as caught:
        b"".join(decrypted(file, passphrases))
    assert not any(passphrase in caught.value.detail for passphrase in passphrases)
    return caught.value.reason


def test_the_key_is_derived_as_openssl_derives_it() -> None:
    # Made by: openssl enc -aes-256-cbc -md md5 -k made-up -S 0102030405060708 -P
    key, iv = key_and_iv("made-up", bytes(range(1, 9)))

    assert (key.hex().upper(), iv.hex().upper()) == (KEY_HEX, IV_HEX)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 2_500_000])
def test_what_openssl_encrypted_comes_back_whatever_its_length(size: int, file: Path) -> None:
    clip = mp4(noise(size))
    file.write_bytes(encrypt(clip))

    assert is_salted(file)
    assert b"".join(decrypted(file, [PASSPHRASE])) == clip


def test_the_own_encryption_of_these_tests_is_the_same_format(file: Path) -> None:
    file.write_bytes(encrypt_here(mp4(), PASSPHRASE))

    assert b"".join(decrypted(file, [PASSPHRASE])) == mp4()


def test_each_configured_key_is_tried(file: Path) -> None:
    file.write_bytes(encrypt(mp4()))

    assert b"".join(decrypted(file, ["another", PASSPHRASE, "third"])) == mp4()


def test_a_wrong_or_missing_key_is_told(file: Path) -> None:
    file.write_bytes(encrypt(mp4()))

    assert reason(file, "another") == "wrong-key"
    assert reason(file) == "encrypted"


def test_an_encrypted_recording_that_was_cut_off_is_truncated(file: Path) -> None:
    whole = encrypt(mp4())

    for size in (12, 16, 24, len(whole) - 5, len(whole) - 32):
        file.write_bytes(whole[:size])
        assert reason(file, PASSPHRASE) == "truncated"


def test_a_plain_recording_is_not_taken_for_an_encrypted_one(file: Path) -> None:
    file.write_bytes(mp4())

    assert not is_salted(file)
