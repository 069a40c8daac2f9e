"""Settings out of environment variables: read once, every wrong or missing name reported together.

In: a class of settings (`services.runtime.settings` has the shared ones) and an environment.
Out: one frozen object, or a SettingsError whose text names every variable that is wrong or missing.

Rules
- A variable is called ``env_prefix`` of its class + the field's name. A field's ``validation_alias`` adds the
  names that Kerberos' own services use; where it holds a name of ours, that replaces the computed one.
- Ours wins over Kerberos' name; an empty variable counts as not set; values are stripped.
- Every field has a description: `docs/configuration.md` is generated from these models.
- The value of a secret is never in an error text.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from services.runtime.errors import SettingsError
from services.runtime.masking import mask_text

OURS = "PLATEFLOW_"
log = logging.getLogger(__name__)


class Settings(BaseModel):
    """Base of every group and of every service's settings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, validate_by_name=True, validate_by_alias=False
    )
    env_prefix: ClassVar[str] = OURS


# ---- what there is -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Variable:
    """One setting as an operator sees it."""

    name: str
    aliases: tuple[str, ...]
    description: str
    default: str | None
    """As text; None: it must be set."""
    secret: bool

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)

    def __str__(self) -> str:
        return self.name + (f" (or {', '.join(self.aliases)})" if self.aliases else "")


def groups(kind: type[Settings], default: Settings | None = None) -> Iterator[tuple[type[Settings], list[Variable]]]:
    """``kind`` and the groups in it, each with the variables of its own fields, in order of definition."""
    own: list[Variable] = []
    yield kind, own
    for name, field in kind.model_fields.items():
        group = _group(field)
        if group is not None:
            yield from groups(group, _group_default(field))
        else:
            own.append(_variable(kind, name, field, default))


def variables(kind: type[Settings]) -> Iterator[Variable]:
    """Every variable that ``kind`` and its groups read."""
    return (variable for _, own in list(groups(kind)) for variable in own)


def _group(field: FieldInfo) -> type[Settings] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Settings) else None


def _group_default(field: FieldInfo) -> Settings | None:
    return field.default if isinstance(field.default, Settings) else None


def _variable(kind: type[Settings], name: str, field: FieldInfo, default: Settings | None) -> Variable:
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias] if alias else []
    names = [choice for choice in choices if isinstance(choice, str)]
    if not any(choice.startswith(OURS) for choice in names):
        names.insert(0, kind.env_prefix + name.upper())
    secret = "SecretStr" in repr(field.annotation)
    return Variable(names[0], tuple(names[1:]), field.description or "", _default_text(name, field, default), secret)


def _default_text(name: str, field: FieldInfo, default: Settings | None) -> str | None:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "default" in extra:
        return str(extra["default"])
    value = field.default if default is None else getattr(default, name)
    if value is PydanticUndefined:
        return None if field.default_factory is None else "computed"
    if value is None or value == ():
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


# ---- reading them ------------------------------------------------------------------------------------------
S = TypeVar("S", bound=Settings)


def load(kind: type[S], env: Mapping[str, str] | None = None) -> S:
    """The settings of a service. Raises SettingsError with every problem; warns of a likely typo."""
    env = os.environ if env is None else env
    problems: list[str] = []
    settings = _read(kind, env, None, problems)
    if settings is None:
        raise SettingsError(_report(problems))
    for text in unknown(kind, env):
        log.warning(text)
    return settings


def unknown(kind: type[Settings], env: Mapping[str, str]) -> list[str]:
    """A sentence for each variable of ours that ``kind`` does not know, but that looks much like one it does.

    Others belong to another service, since all may share one environment.
    """
    known = {variable.name for variable in variables(kind)}
    texts = []
    for name in sorted(env):
        if name.startswith(OURS) and name not in known and (near := _nearest(name, known)):
            texts.append(f"{name} is not a setting and has no effect; did you mean {near}?")
    return texts


def _nearest(name: str, known: set[str]) -> str | None:
    """The known name most like ``name``; None where their first words differ: it is another service's."""
    group = name.split("_")[1]
    same_group = sorted(one for one in known if difflib.SequenceMatcher(None, one.split("_")[1], group).ratio() >= 0.8)
    matches = difflib.get_close_matches(name, same_group, n=1, cutoff=0.8)
    return matches[0] if matches else None


def _read(kind: type[S], env: Mapping[str, str], default: Settings | None, problems: list[str]) -> S | None:
    values: dict[str, Any] = {}
    before = len(problems)
    for name, field in kind.model_fields.items():
        group = _group(field)
        if group is not None:
            values[name] = _read(group, env, _group_default(field), problems)
        elif (text := _first(_variable(kind, name, field, None), env)) is not None:
            values[name] = text
        elif default is not None:
            values[name] = getattr(default, name)
    try:
        settings = kind.model_validate(values)
    except ValidationError as error:
        problems.extend(_problems(kind, error, env))
        return None
    return settings if len(problems) == before else None


def _first(variable: Variable, env: Mapping[str, str]) -> str | None:
    return next((text for name in variable.names if (text := env.get(name, "").strip())), None)


def _problems(kind: type[Settings], error: ValidationError, env: Mapping[str, str]) -> Iterator[str]:
    for details in error.errors(include_url=False):
        name = str(details["loc"][0]) if details["loc"] else ""
        field = kind.model_fields.get(name)
        if field is None:
            yield details["msg"]
        elif _group(field) is None:  # the groups have reported their own
            yield _problem(_variable(kind, name, field, None), details, env)


def _problem(variable: Variable, details: ErrorDetails, env: Mapping[str, str]) -> str:
    what = details["msg"].removeprefix("Value error, ")
    if details["type"] == "missing" or what == "missing":
        return f"{variable}: missing. {variable.description}"
    used = next((name for name in variable.names if env.get(name, "").strip()), variable.name)
    also = "" if used == variable.name else f" (also {variable.name})"
    return f"{used}{also}: {_plain(what)}{_shown(variable, env.get(used, '').strip())}. {variable.description}"


def _shown(variable: Variable, value: str) -> str:
    """The wrong value, unless it is a secret or an address that holds a password."""
    return "" if variable.secret or not value or "@" in value else f", but is {mask_text(value)!r}"


def _plain(message: str) -> str:
    """Pydantic's words in an operator's."""
    return message.replace("Input should", "should").replace("String should", "should")


def _report(problems: list[str]) -> str:
    one = len(problems) == 1
    head = "1 setting is" if one else f"{len(problems)} settings are"
    lines = "\n".join(f"  {text}" for text in problems)
    them = "it" if one else "them"
    return f"{head} wrong or missing; set {them} in the environment (docs/configuration.md):\n{lines}"
