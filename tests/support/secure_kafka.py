"""A Kafka with TLS, SASL and access rights: a made-up authority, and ACLs that grant nothing by default.

Who comes without TLS, on `bootstrap`, may do everything (the tests themselves); on `secured` user and ACLs count.
"""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.kafka import PASSWORD, USER, KafkaServer
from tests.support.processes import free_port

_JAAS = "org.apache.kafka.common.security"
_SETTINGS = f"""
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={{keystore}}
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={_JAAS}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={_JAAS}.scram.ScramLoginModule required;
"""


class SecureKafka(KafkaServer):
    """`secured` is where TLS and SASL are asked for, `ca_file` is to be trusted, `other_ca` signed nothing."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.secured = f"127.0.0.1:{port}"
        self.ca_file, self.other_ca = folder / "ca.pem", folder / "other-ca.pem"
        keystore = folder / "broker.pem"
        key, authority = _authority(self.ca_file)
        _authority(self.other_ca)
        keystore.write_bytes(_signed(key, authority))
        super().__init__(
            folder / "kafka", listeners={"SASL_SSL": ("SASL_SSL", port)}, settings=_SETTINGS.format(keystore=keystore)
        )

    def grant(self, kind: ResourceType, prefix: str, *operations: AclOperation) -> None:
        """To our user, on everything of that kind whose name begins so."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        bindings = [
            AclBinding(
                kind,
                prefix,
                ResourcePatternType.PREFIXED,
                f"User:{USER}",
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for operation in operations
        ]
        for done in admin.create_acls(bindings).values():
            done.result(30)


def _authority(file: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "made-up authority")])
    made = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = made.sign(key, hashes.SHA256())
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key, certificate


def _signed(authority_key: ec.EllipticCurvePrivateKey, authority: x509.Certificate) -> bytes:
    """Key and certificate of the broker in one PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = _builder(name, authority.subject, key).add_extension(address, critical=False)
    signed = certificate.sign(authority_key, hashes.SHA256())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + signed.public_bytes(serialization.Encoding.PEM)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
    )
