"""The JSON Schemas describe what is really sent, and the files are fresh."""

import json
from pathlib import Path

import jsonschema
import pytest

from services.contracts import schemas
from services.contracts.codec import encode
from services.contracts.messages import Message
from services.contracts.topics import MESSAGE_OF, Topics
from tests.contracts.test_codec import EXAMPLES


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_what_is_sent_fits_its_schema(message: Message) -> None:
    schema = json.loads(schemas.schema_text(type(message)))

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(encode(message)), schema, cls=jsonschema.Draft202012Validator)


def test_a_schema_refuses_a_wrong_type() -> None:
    wrong = {**json.loads(encode(EXAMPLES[0])), "camera": 7}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json.loads(schemas.schema_text(type(EXAMPLES[0]))))


def test_every_topic_has_an_example_and_a_schema(tmp_path: Path) -> None:
    schemas.write(tmp_path)

    assert {type(message) for message in EXAMPLES} == set(MESSAGE_OF.values())
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(MESSAGE_OF)


def test_the_committed_schemas_are_fresh() -> None:
    assert schemas.stale(schemas.FOLDER) == [], f"run `{schemas.COMMAND}`"


def test_a_stale_a_missing_and_a_foreign_file_fail_the_check_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schemas.write(tmp_path)
    assert schemas.main(["--check", "--folder", str(tmp_path)]) == 0

    (tmp_path / "clips.json").write_text("{}")
    (tmp_path / "plates.json").unlink()
    (tmp_path / "retired.json").write_text("{}")
    assert schemas.main(["--check", "--folder", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "clips.json, plates.json, retired.json" in told
    assert "python -m services.contracts.schemas" in told

    assert schemas.main(["--folder", str(tmp_path)]) == 0
    assert schemas.main(["--check", "--folder", str(tmp_path)]) == 0


def test_a_prefix_keeps_two_installations_apart() -> None:
    topics = Topics("other")

    assert set(topics.all()) == {f"other.{name}" for name in MESSAGE_OF}
    assert all(topics.message_type(topic) is MESSAGE_OF[topic.split(".")[1]] for topic in topics.all())
    with pytest.raises(KeyError):
        topics.message_type("plateflow.clips.of-somebody-else")
