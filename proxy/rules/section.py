"""What every section of the document is made of."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator


def key(description: str, default: object = ..., **more: Any) -> Any:
    """A key of the document. Its default stands here as YAML would write it."""
    return Field(default, description=description, **more)


class Section(BaseModel):
    """A mapping of the document. Records which model looked at which mapping, for the report."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _seen(cls, data: object, info: ValidationInfo) -> object:
        if info.context is not None:
            info.context[id(data)] = cls
        return data
