"""Settings come from the environment, and every problem is told at once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from services.cli import configuration
from services.runtime.errors import SettingsError
from services.runtime.settings import (
    KafkaSettings,
    ObjectStoreSettings,
    ObservabilitySettings,
    ServiceSettings,
    StoreSettings,
    VaultSettings,
    load,
    variables,
)


class WholeSettings(ServiceSettings):
    """Settings of a service that reads everything."""

    env_prefix: ClassVar[str] = "PLATEFLOW_WHOLE_"

    observability: ObservabilitySettings = ObservabilitySettings(http_port=9101)
    kafka: KafkaSettings
    vault: VaultSettings
    clips: StoreSettings
    objects: ObjectStoreSettings
    in_flight: int = Field(default=8, ge=1, description="Clips at the same time.")


FOUR = {
    "KAFKA_BROKER": "b1:9094,b2:9094",
    "STORAGE_URI": "https://vault.example/api/",
    "STORAGE_ACCESS_KEY": "made-up-key",
    "STORAGE_SECRET": "made-up-secret",
}


def problems(env: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(WholeSettings, env)
    return str(caught.value)


def test_four_variables_connect_to_vault_and_kafka() -> None:
    loaded = load(WholeSettings, FOUR)

    assert loaded.kafka.broker == "b1:9094,b2:9094"
    assert loaded.vault.uri == "https://vault.example/api"
    assert loaded.vault.access_key is not None
    assert loaded.vault.access_key.get_secret_value() == "made-up-key"
    assert loaded.vault.secret_key is not None
    assert loaded.vault.secret_key.get_secret_value() == "made-up-secret"
    assert loaded.in_flight == 8


@pytest.mark.parametrize(
    ("uri", "key", "secret"),
    [
        ("STORAGE_URI", "STORAGE_ACCESS_KEY", "STORAGE_SECRET_KEY"),
        ("VAULT_API_URL", "VAULT_ACCESS_KEY", "VAULT_SECRET_KEY"),
        ("KERBEROS_STORAGE_URI", "KERBEROS_STORAGE_ACCESS_KEY", "KERBEROS_STORAGE_SECRET"),
    ],
)
def test_every_name_that_kerberos_services_use_is_understood(uri: str, key: str, secret: str) -> None:
    env = {"KAFKA_BROKER": "k:9092", uri: "http://v/api", key: "made-up-key", secret: "made-up-secret"}

    vault = load(WholeSettings, env).vault

    assert vault.uri == "http://v/api"
    assert vault.access_key is not None and vault.access_key.get_secret_value() == "made-up-key"
    assert vault.secret_key is not None and vault.secret_key.get_secret_value() == "made-up-secret"


def test_our_name_wins_over_kerberos_name() -> None:
    loaded = load(WholeSettings, FOUR | {"PLATEFLOW_KAFKA_BROKER": "ours:9092"})

    assert loaded.kafka.broker == "ours:9092"


def test_an_empty_variable_counts_as_not_set_and_a_trailing_newline_is_dropped() -> None:
    env = FOUR | {"PLATEFLOW_KAFKA_BROKER": " ", "STORAGE_SECRET": "made-up-secret\n"}
    loaded = load(WholeSettings, env)

    assert loaded.kafka.broker == FOUR["KAFKA_BROKER"]
    assert loaded.vault.secret_key is not None
    assert loaded.vault.secret_key.get_secret_value() == "made-up-secret"


def test_all_that_is_missing_is_told_at_once_with_both_names_and_the_meaning() -> None:
    text = problems({})

    assert text.startswith("4 settings are wrong or missing")
    for name in ("PLATEFLOW_KAFKA_BROKER (or KAFKA_BROKER)", "PLATEFLOW_VAULT_URI (or STORAGE_URI"):
        assert f"{name}" in text
    assert "PLATEFLOW_VAULT_ACCESS_KEY (or STORAGE_ACCESS_KEY" in text
    assert "PLATEFLOW_VAULT_SECRET_KEY (or STORAGE_SECRET" in text
    assert "Kafka brokers as host:port" in text


def test_wrong_values_of_several_groups_are_told_together() -> None:
    text = problems(
        FOUR
        | {
            "KAFKA_BROKER": "kafka",
            "STORAGE_URI": "vault.example",
            "PLATEFLOW_WHOLE_IN_FLIGHT": "many",
            "PLATEFLOW_HTTP_PORT": "99999",
            "PLATEFLOW_CLIPS_URL": "ftp://somewhere",
        }
    )

    assert text.startswith("5 settings are wrong or missing")
    assert "KAFKA_BROKER (also PLATEFLOW_KAFKA_BROKER): needs host:port" in text
    assert "but is 'vault.example'" in text
    assert "PLATEFLOW_WHOLE_IN_FLIGHT: should be a valid integer" in text
    assert "PLATEFLOW_HTTP_PORT: should be less than or equal to 65535" in text
    assert "PLATEFLOW_CLIPS_URL: needs a folder or s3://bucket/prefix" in text


@settings(deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=8))
def test_no_error_text_shows_a_secret(secret: str) -> None:
    secret = f"Zq{secret}qZ"
    env = {
        "KAFKA_PASSWORD": secret,  # without a user: an error
        "STORAGE_ACCESS_KEY": secret,
        "PLATEFLOW_CLIPS_SECRET_KEY": secret,  # without its access key: an error
        "STORAGE_URI": f"ftp://user:{secret.replace('/', '').replace('@', '')}@host/api",
    }
    text = problems(env)

    assert "PLATEFLOW_KAFKA_PASSWORD" in text
    assert "Zq" not in text


def test_a_user_needs_a_password_and_sasl_needs_a_user() -> None:
    assert "PLATEFLOW_KAFKA_PASSWORD" in problems(FOUR | {"KAFKA_USERNAME": "camera-fleet"})
    assert "SASL_SSL needs SASL user" in problems(FOUR | {"KAFKA_SECURITY": "sasl_ssl"})


def test_security_defaults_to_what_kerberos_uses() -> None:
    plain = load(WholeSettings, FOUR).kafka
    with_user = load(WholeSettings, FOUR | {"KAFKA_USERNAME": "u", "KAFKA_PASSWORD": "made-up"}).kafka

    assert plain.protocol == "PLAINTEXT"
    assert with_user.protocol == "SASL_PLAINTEXT"
    assert with_user.mechanism == "PLAIN"


def test_every_instance_has_a_stable_transactional_id_of_its_own_per_service() -> None:
    kafka = load(WholeSettings, FOUR | {"PLATEFLOW_KAFKA_INSTANCE_ID": "worker-3", "KAFKA_GROUP": "fleet"}).kafka

    assert kafka.group_of("ingest") == "fleet-ingest"
    assert kafka.transactional_id("ingest") == "fleet-ingest-worker-3"
    assert kafka.transactional_id("inference") == "fleet-inference-worker-3"


def test_vault_may_be_left_out_where_a_source_map_is_given(tmp_path: Path) -> None:
    sources = tmp_path / "sources.yaml"
    sources.write_text("{}")
    env = {"KAFKA_BROKER": "k:9092", "PLATEFLOW_VAULT_SOURCES_FILE": str(sources)}

    assert load(WholeSettings, env).vault.uri is None
    assert "PLATEFLOW_VAULT_ACCESS_KEY" in problems(env | {"STORAGE_URI": "http://v/api"})


def test_a_source_map_that_is_not_there_is_an_error() -> None:
    text = problems(FOUR | {"PLATEFLOW_VAULT_SOURCES_FILE": "no/such/file"})

    assert "PLATEFLOW_VAULT_SOURCES_FILE" in text
    assert "no/such/file" in text


def test_lists_and_sizes_are_written_as_people_write_them() -> None:
    env = {
        "PLATEFLOW_VAULT_ALLOWED_HOSTS": "storage.example, other.example:9000",
        "PLATEFLOW_VAULT_DECRYPTION_KEYS": "made-up-one,made-up-two",
        "PLATEFLOW_CLIPS_MAX_BYTES": "20GB",
    }
    loaded = load(WholeSettings, FOUR | env)

    assert loaded.vault.allowed_hosts == ("storage.example", "other.example:9000")
    assert [key.get_secret_value() for key in loaded.vault.decryption_keys] == ["made-up-one", "made-up-two"]
    assert loaded.clips.max_bytes == 20_000_000_000
    assert loaded.objects.max_bytes == StoreSettings().max_bytes


def test_a_service_may_change_the_default_of_a_group_and_the_environment_still_wins() -> None:
    assert load(WholeSettings, FOUR).observability.http_port == 9101
    assert load(WholeSettings, FOUR | {"PLATEFLOW_LOG_LEVEL": "debug"}).observability.http_port == 9101
    assert load(WholeSettings, FOUR | {"PLATEFLOW_HTTP_PORT": "0"}).observability.http_port == 0


def test_a_misspelt_name_is_reported_with_the_nearest_known_one(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load(WholeSettings, FOUR | {"PLATEFLOW_KAKFA_BROKER": "k:1", "PLATEFLOW_WHOLE_INFLIGHT": "3"})

    assert "PLATEFLOW_KAKFA_BROKER is not a setting" in caplog.text
    assert "did you mean PLATEFLOW_KAFKA_BROKER?" in caplog.text
    assert "did you mean PLATEFLOW_WHOLE_IN_FLIGHT?" in caplog.text


def test_variables_of_another_service_in_the_same_environment_are_no_typo(
    caplog: pytest.LogCaptureFixture,
) -> None:
    load(WholeSettings, FOUR | {"PLATEFLOW_OTHER_IN_FLIGHT": "3", "PLATEFLOW_TEST_KAFKA": "k:1"})

    assert caplog.text == ""


def test_settings_never_show_their_secrets() -> None:
    assert "made-up" not in repr(load(WholeSettings, FOUR))


def test_every_variable_has_a_name_of_ours_and_a_meaning() -> None:
    for variable in variables(WholeSettings):
        assert variable.name.startswith("PLATEFLOW_")
        assert variable.description.endswith(".")
        assert not any(alias.startswith("PLATEFLOW_") for alias in variable.aliases)


def test_the_page_names_every_variable_of_every_service() -> None:
    services = {"whole": WholeSettings}
    page = configuration.document(services)

    for variable in variables(WholeSettings):
        assert f"`{variable.name}`" in page
    assert "| `PLATEFLOW_KAFKA_BROKER` | `KAFKA_BROKER` | **required** |" in page
    assert "| `PLATEFLOW_HTTP_PORT` |  | `9101` |" in page
    assert "Read by whole." in page


@pytest.mark.parametrize("service", configuration.SERVICES)
def test_every_service_has_settings_that_the_page_can_show(service: str) -> None:
    kind = configuration.settings_of(service)
    page = configuration.document({service: kind})

    for variable in variables(kind):
        assert f"`{variable.name}`" in page
        assert variable.description


def test_a_variety_of_a_group_is_shown_once() -> None:
    class LenientVault(VaultSettings):
        """Vault may be left out."""

    class OtherSettings(ServiceSettings):
        """Another service."""

        vault: LenientVault

    page = configuration.document({"whole": WholeSettings, "other": OtherSettings})

    assert page.count("| `PLATEFLOW_VAULT_URI` |") == 1
    assert "Read by whole and other." in page
    assert "In other: Vault may be left out." in page
