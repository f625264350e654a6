"""How the config of a cell departs from its recipe, and from the other cells of its column. No torch."""

from __future__ import annotations

from typing import Any

from eval.records import Record
from eval.report.page.places import card_values

MOST_CHARACTERS = 200  # of a value


def flat(config: Any, prefix: str = '') -> dict[str, str]:
    """Dotted key -> value as text, such as `optim_wrapper.optimizer.lr` -> `0.001`; long values are cut.

    Args:
        config: Nested dicts and lists.
        prefix: Of all keys.
    """
    items: list[tuple[Any, Any]] | None = None
    if isinstance(config, dict):
        items = list(config.items())
    elif isinstance(config, (list, tuple)) and any(isinstance(item, dict) for item in config):
        items = list(enumerate(config))
    if not items:
        text = repr(config) if isinstance(config, str) and config.strip() != config else str(config)
        return {
            prefix: text if len(text) <= MOST_CHARACTERS else f'{text[:MOST_CHARACTERS]} ... ({len(text)} characters)'
        }
    found: dict[str, str] = {}
    for key, value in items:
        found |= flat(value, f'{prefix}.{key}' if prefix else str(key))
    return found


def resolved(record: Record) -> dict[str, str]:
    """The resolved config of a record, flat; {} where the record does not hold it."""
    config = record.identity.get('config')
    return flat(config) if isinstance(config, dict) else {}


def from_recipe(record: Record) -> list[tuple[str, str, str]]:
    """(setting, value of the recipe, value of this cell) of every setting that the command line changed."""
    changes = record.identity.get('changes')
    if not isinstance(changes, dict):
        return []
    recipe = flat(card_values('recipes', str(record.identity.get('recipe'))).get('recipe', {}))
    return [(key, recipe.get(key, 'default'), text) for key, text in flat(changes).items()]


def against(base: dict[str, str], own: dict[str, str]) -> dict[str, str | None]:
    """What has to be changed in `base` to get `own`: {setting: value, or None where it is gone}."""
    changed: dict[str, str | None] = {key: value for key, value in own.items() if base.get(key) != value}
    return changed | {key: None for key in base if key not in own}
