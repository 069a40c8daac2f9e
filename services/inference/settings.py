"""Settings of inference: `PipelineSettings` for everyone who processes clips, `InferenceSettings` for the
service."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import AliasChoices, ByteSize, Field, FilePath, ValidationInfo, field_validator, model_validator

from services.contracts.formats import Format, choose, parse, shipped
from services.inference.core.motion import MotionOptions
from services.inference.core.stitch import KeepOptions, StitchOptions
from services.inference.core.tracker import TrackerOptions
from services.inference.core.vote import VoteOptions
from services.inference.core.wording import Rule, WordingOptions, parse_rules
from services.inference.decode_wire import Limits
from services.inference.follow import MOST_MARGIN
from services.inference.models.detector import INPUT_SIZE, IOU
from services.inference.pipeline import PipelineOptions
from services.runtime.settings import (
    ObjectStoreSettings,
    ObservabilitySettings,
    Settings,
    StoreSettings,
    StreamSettings,
    VaultSettings,
)

_PIPELINE, _LIMITS = PipelineOptions(), Limits()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path} as UTF-8 text: {error}") from error


class PipelineSettings(Settings):
    """How clips are processed; the service and `plateflow run` share them."""

    env_prefix: ClassVar[str] = "PLATEFLOW_"

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where the networks run; auto takes CUDA where torch finds a card, else the CPU."
    )
    cpu_runtime: Literal["auto", "openvino", "onnxruntime"] = Field(
        default="auto",
        description="What runs the networks on the CPU; auto: OpenVINO for the shipped ones where it is installed "
        "(x86), else ONNX Runtime; openvino: the same, and it must be. Other weights run on ONNX Runtime.",
    )
    threads: int = Field(
        default=0, ge=0, description="Threads of the decoder and of each network on the CPU; 0 = all cores."
    )
    sample_fps: float = Field(
        default=_PIPELINE.fps,
        ge=0,
        le=240,
        description="Frames looked at per second of a recording, chosen by presentation time; 0 = all.",
    )
    sample_nth: int = Field(
        default=_PIPELINE.nth,
        ge=0,
        description="Every n-th frame of a recording is looked at instead, whatever its time; 0 = by time.",
    )
    detector_weights: FilePath | None = Field(
        default=None,
        description="Other weights for the detector, a YOLO of any classes: .onnx on the CPU, .pt with "
        "plateflow[gpu]. Not set: the shipped ones.",
    )
    classes: str = Field(
        default="",
        description="Which classes of the detector are followed, with commas between (`person,car`); not set: all. "
        "Only a class with `plate` in its name is read.",
    )
    recogniser_weights: FilePath | None = Field(
        default=None, description="Other weights (.onnx) for the recogniser. Not set: the shipped ones."
    )
    vehicle_weights: FilePath | None = Field(
        default=None,
        description="Weights of a detector of vehicles, a YOLO with COCO's classes (.onnx; .pt with plateflow[gpu]): a "
        "plate that lies in no vehicle does not count then. Not set: nobody looks for vehicles.",
    )
    detect_size: int = Field(
        default=INPUT_SIZE,
        ge=160,
        le=4096,
        multiple_of=32,
        description="Longest side of a frame for the detector, in pixels.",
    )
    detect_score: float = Field(
        default=0.2, ge=0, le=1, description="Boxes below this score are ignored; those from here on continue tracks."
    )
    detect_overlap: float = Field(
        default=IOU, gt=0, le=1, description="Of two boxes that overlap by more than this share, the better one stays."
    )
    motion_threshold: float = Field(
        default=_PIPELINE.motion.threshold,
        ge=0,
        le=255,
        description="Levels of brightness by which the mean of 16 x 16 pixels must change for a frame, or the part "
        "of it around all that changed, to go through the detector; elsewhere the boxes of the frame before stay. "
        "0 = every frame does, as a whole.",
    )
    motion_most_ms: int = Field(
        default=_PIPELINE.motion.most_ms,
        ge=0,
        description="A frame so long after the last one that went through the detector as a whole does in any case.",
    )
    start_score: float = Field(
        default=_PIPELINE.tracker.start_score, ge=0, le=1, description="Score that a box needs to start a track."
    )
    single_score: float = Field(
        default=_PIPELINE.keep.single_score, ge=0, le=1, description="Score that a track of one single box needs."
    )
    max_gap_ms: int = Field(
        default=_PIPELINE.tracker.max_gap_ms, ge=0, description="A track not seen for longer has ended."
    )
    join_gap_ms: int = Field(
        default=_PIPELINE.stitch.gap_ms,
        ge=0,
        description="Tracks of one recording with the same reading are one where no longer time lies between them.",
    )
    crop_margin: float = Field(
        default=_PIPELINE.crop_margin,
        ge=0,
        le=MOST_MARGIN,
        description="How much of what surrounds a plate's box is read with it on each side, in parts of its size.",
    )
    min_plate_width: float = Field(
        default=_PIPELINE.min_width, ge=1, description="Narrower plates are ignored; pixels of the recording."
    )
    min_plate_height: float = Field(
        default=_PIPELINE.min_height, ge=1, description="Lower plates are ignored; pixels of the recording."
    )
    min_decided: int = Field(
        default=_PIPELINE.keep.min_decided, ge=0, description="Decided characters that a reading needs to be published."
    )
    min_confidence: float = Field(
        default=_PIPELINE.keep.min_confidence,
        ge=0,
        le=1,
        description="Confidence that a reading needs to be published: that its decided characters are all right.",
    )
    formats: str = Field(
        default="",
        description="National formats that may settle near-tied characters: countries (`ru,ua,eu`) or names, with "
        "commas between; not set: all; `none`: none.",
    )
    formats_file: FilePath | None = Field(
        default=None, description="A table of more formats, as services/contracts/formats.yaml is one."
    )
    replacements: FilePath | None = Field(
        default=None, description="Rules `regular expression => text`, one a line, for texts in their order; never raw."
    )
    cyrillic: bool = Field(
        default=False, description="Letters that look the same in both scripts are written in Cyrillic."
    )
    char_threshold: float = Field(
        default=_PIPELINE.wording.digits, ge=0, le=1, description="A character below this confidence becomes `#`."
    )
    char_threshold_digits: float | None = Field(
        default=None, ge=0, le=1, description="The same for digits, where it differs."
    )
    char_threshold_letters: float | None = Field(
        default=None, ge=0, le=1, description="The same for letters, where it differs."
    )
    reads_per_track: int = Field(
        default=_PIPELINE.reads_per_track,
        ge=0,
        description="Pictures of a track that are read at most, the clearest, spread over its time; 0 = all.",
    )
    detect_batch: int = Field(default=_PIPELINE.detect_batch, ge=1, le=256, description="Frames detected in one go.")
    read_batch: int = Field(default=_PIPELINE.read_batch, ge=1, le=1024, description="Plates read in one go, at least.")
    max_clip_seconds: int = Field(
        default=_LIMITS.max_seconds, ge=1, description="A longer recording becomes a dead letter."
    )
    max_clip_frames: int = Field(
        default=_LIMITS.max_frames, ge=1, description="A recording of more frames becomes a dead letter."
    )
    max_frame_pixels: int = Field(
        default=_LIMITS.max_pixels,
        ge=1,
        description="A recording with larger frames (width x height) becomes a dead letter.",
    )
    decode_memory_mb: int = Field(
        default=_LIMITS.memory_mb, ge=64, description="Memory that decoding one recording may take, in MiB."
    )
    decode_wait_s: float = Field(
        default=_LIMITS.wait_seconds,
        gt=0,
        description="Seconds that one recording may keep us waiting for frames, in all.",
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self._formats()
        self._rules()
        return self

    def _formats(self) -> tuple[Format, ...]:
        more = self.formats_file
        table = shipped()
        if more is not None:
            own = parse(_text(more), str(more))
            taken = {one.name for one in own}
            table = (*own, *(one for one in table if one.name not in taken))
        return choose(table, self.formats)

    def _rules(self) -> tuple[Rule, ...]:
        path = self.replacements
        return () if path is None else parse_rules(_text(path).splitlines(), str(path))

    @property
    def _wording(self) -> WordingOptions:
        both, digits, letters = self.char_threshold, self.char_threshold_digits, self.char_threshold_letters
        return WordingOptions(
            both if digits is None else digits, both if letters is None else letters, self._rules(), self.cyrillic
        )

    @property
    def options(self) -> PipelineOptions:
        return PipelineOptions(
            fps=self.sample_fps,
            nth=self.sample_nth,
            detect_batch=self.detect_batch,
            read_batch=self.read_batch,
            classes=tuple(name for part in self.classes.split(",") if (name := part.strip())),
            reads_per_track=self.reads_per_track,
            crop_margin=self.crop_margin,
            min_width=self.min_plate_width,
            min_height=self.min_plate_height,
            tracker=TrackerOptions(start_score=self.start_score, max_gap_ms=self.max_gap_ms),
            vote=VoteOptions(formats=self._formats()),
            stitch=StitchOptions(gap_ms=self.join_gap_ms),
            keep=KeepOptions(self.min_decided, self.min_confidence, self.single_score),
            wording=self._wording,
            motion=MotionOptions(self.motion_threshold, self.motion_most_ms),
        )

    @property
    def limits(self) -> Limits:
        return Limits(
            max_pixels=self.max_frame_pixels,
            max_seconds=self.max_clip_seconds,
            max_frames=self.max_clip_frames,
            memory_mb=self.decode_memory_mb,
            wait_seconds=self.decode_wait_s,
        )


class RefetchSettings(VaultSettings):
    """Vault, where clips that the store no longer holds shall be fetched again; may be left out as a
    whole."""

    @field_validator("uri", "access_key", "secret_key")
    @classmethod
    def _vault_or_source_map(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.field_name != "uri" and info.data.get("uri") is not None:
            raise ValueError("missing")
        return value

    @property
    def configured(self) -> bool:
        return self.uri is not None or self.sources_file is not None


class InferenceSettings(StreamSettings):
    """Clips in; tracks and finished recordings out."""

    env_prefix: ClassVar[str] = "PLATEFLOW_INFERENCE_"

    clips: StoreSettings
    objects: ObjectStoreSettings
    vault: RefetchSettings
    pipeline: PipelineSettings
    observability: ObservabilitySettings = ObservabilitySettings(http_port=8081)
    cameras: FilePath | None = Field(
        default=None,
        description="YAML or JSON file with what a plate must be to count at each camera (`recognise`: zones, masks, "
        "sizes, scores); read again on change.",
        validation_alias=AliasChoices("PLATEFLOW_CAMERAS"),
    )
    workers: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Clips processed at the same time; two keep cores busy that one would leave idle now and then.",
    )
    in_flight: int = Field(
        default=4, ge=1, description="Clips being processed, or waiting for another try, at the same time."
    )
    max_clip_bytes: ByteSize = Field(
        default=ByteSize(2_000_000_000),
        gt=0,
        description="A larger recording is not fetched again (`2GB`, `500MiB`).",
        json_schema_extra={"default": "2GB"},
        validation_alias=AliasChoices("PLATEFLOW_INFERENCE_MAX_CLIP_BYTES", "PLATEFLOW_INGEST_MAX_CLIP_BYTES"),
    )
    retry_budget_s: float = Field(
        default=600.0,
        gt=0,
        description="A clip that fails for so many seconds while all else is fine becomes a dead letter.",
    )
    dead_letters_in_a_row: int = Field(
        default=100, ge=0, description="So many dead letters in a row stop the service; 0 = never."
    )
