"""Settings of inference: defaults that are the code's own, a Vault that may be left out, but not by half."""

from __future__ import annotations

import pytest

from services.inference.decode_wire import Limits
from services.inference.pipeline import PipelineOptions
from services.inference.settings import InferenceSettings, PipelineSettings
from services.runtime.errors import SettingsError
from services.runtime.settings import load

KAFKA = {"KAFKA_BROKER": "kafka:9092"}


def test_the_defaults_are_those_of_the_pipeline_and_the_decoder() -> None:
    settings = PipelineSettings()

    assert settings.options == PipelineOptions()
    assert settings.limits == Limits()


def test_inference_needs_no_vault() -> None:
    assert not load(InferenceSettings, KAFKA).vault.configured


def test_a_vault_without_its_keys_is_a_mistake_that_names_both() -> None:
    with pytest.raises(SettingsError) as error:
        load(InferenceSettings, {**KAFKA, "STORAGE_URI": "https://vault.example/api"})

    assert "STORAGE_ACCESS_KEY" in str(error.value)
    assert "STORAGE_SECRET" in str(error.value)


def test_a_whole_vault_is_used() -> None:
    vault = {"STORAGE_URI": "https://vault.example/api", "STORAGE_ACCESS_KEY": "a", "STORAGE_SECRET": "b"}

    assert load(InferenceSettings, KAFKA | vault).vault.configured


def test_the_environment_reaches_the_pipeline() -> None:
    env = {"PLATEFLOW_SAMPLE_FPS": "5", "PLATEFLOW_DEVICE": "cpu", "PLATEFLOW_DECODE_MEMORY_MB": "512"}

    settings = load(InferenceSettings, KAFKA | env).pipeline

    assert (settings.options.fps, settings.device, settings.limits.memory_mb) == (5.0, "cpu", 512)


@pytest.mark.parametrize(
    ("name", "value"), [("DEVICE", "tpu"), ("SAMPLE_FPS", "-1"), ("DETECT_SIZE", "500"), ("CROP_MARGIN", "0.6")]
)
def test_a_wrong_value_is_reported_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"PLATEFLOW_{name}"):
        load(InferenceSettings, KAFKA | {f"PLATEFLOW_{name}": value})
