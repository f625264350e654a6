"""The model card of an encoder: a README.md with its table, intervals, weights and commands. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from eval.metrics import METRICS
from eval.records import Record, RecordError
from eval.report import INCOMPLETE, LEFT_OUT
from eval.report.exports import measured_rows, need_package
from eval.report.exports.model_index import front_matter
from eval.report.notes import chance_note, lost_predictions, partial_notes
from eval.report.page.places import command_of
from sigma.errors import did_you_mean
from sigma.text import align

if TYPE_CHECKING:
    from eval.report.table import Column, Table, TableCell

MOST_COMMANDS = 20


def model_card(
    table: Table, row: str | None = None, *, described: dict | None = None, licence: str | None = None
) -> str:
    """The card as Markdown, with the front matter that the Hugging Face hub reads.

    Args:
        table: Results; other measured rows and numbers from papers stay out of the card.
        row: The encoder; None if the table has one measured row.
        described: What its weights file says about itself (`sigma.checkpoints.described.card_of_file`).
        licence: Of the weights, as the hub names it, such as apache-2.0.

    Raises:
        RecordError: if the row is unknown (with the nearest one), or must be named.
        ExportError: if huggingface_hub is missing.
    """
    need_package('huggingface_hub', 'a model card')
    row = _the_row(table, row)
    cells = [(column, column.cells[row]) for column in table.columns if row in column.cells]
    records = list({record.cell['id']: record for _, cell in cells for record in cell.records}.values())
    more: dict[str, Any] = {'tags': ['video', 'sigma-benchmark'], 'library_name': 'sigma'}
    if any(METRICS[column.metric].task == 'action_recognition' for column, _ in cells if column.metric in METRICS):
        more['pipeline_tag'] = 'video-classification'
    if licence:
        more['license'] = licence
    parts = [
        f'---\n{front_matter(table, row, **more).rstrip()}\n---\n',
        f'# {_escaped(row)}\n',
        _summary(records),
        '## Results\n',
        _results(cells),
        *_notes(table, row, records),
        '## The encoder\n',
        _facts(records[0], described),
        '## How the numbers were measured\n',
        _measured(records),
    ]
    return '\n'.join(parts).rstrip() + '\n'


def _the_row(table: Table, row: str | None) -> str:
    rows = measured_rows(table)
    if row is None and len(rows) == 1:
        return rows[0]
    if row is None:
        raise RecordError(f'the card is of one encoder, but the records have {len(rows)}: {", ".join(rows)}; name one')
    if row not in rows:
        raise RecordError(did_you_mean('encoder', row, rows))
    return row


def _summary(records: list[Record]) -> str:
    """One paragraph: what the encoder is and how much was measured."""
    first = records[0]
    columns = len({(r.protocol['name'], r.dataset['name'], r.get('subset.name')) for r in records})
    seeds = sorted({record.seed for record in records if record.seed is not None})
    weights = f'pretrained on {_escaped(first.get("encoder.pretraining_data") or "data that its records do not name")}'
    if not first.get('encoder.sha256'):
        weights = 'with random weights (no pretraining)'
    told = f'seed{"s" if len(seeds) > 1 else ""} {", ".join(map(str, seeds))}'
    return (
        f'A video encoder {weights}, measured with the SIGMA benchmark in {columns} '
        f'column{"s" if columns > 1 else ""} ({len(records)} records, {told}).\n'
    )


def _results(cells: list[tuple[Column, TableCell]]) -> str:
    lines = [['Protocol', 'Data', 'Metric', 'Score', '95 % interval', 'Seeds', 'Videos', 'Chance']]
    for column, cell in cells:
        mean, low, high = cell.interval[:3]
        ends = '-' if math.isnan(low) else f'{column.text(low)} to {column.text(high)}'
        direction = '' if column.higher_is_better else ' (lower is better)'
        chance = '-' if column.chance is None else column.text(column.chance)
        videos = '-' if column.is_summary else str(min(record.dataset['num_scored'] for record in cell.records))
        unit = ', %' if column.unit == 'percent' else ''
        lines.append(
            [
                _escaped(column.group or column.protocol),
                _escaped(column.label if not column.is_summary else ''),
                _escaped(f'{column.metric_label}{unit}{direction}'),
                f'{column.text(mean)}{_escaped(cell.mark)}',
                ends,
                cell.num_seeds,
                videos,
                chance,
            ]
        )
    return align(lines, markdown=True) + '\n'


def _notes(table: Table, row: str, records: list[Record]) -> Iterator[str]:
    """What a reader should know: intervals, unscored videos, and the notes of the records."""
    alone = table.only(lambda column: row in column.cells)
    said = ['The interval covers other test videos, and other seeds where there are several.']
    if chance := chance_note(alone):
        said.append(f'Chance is {chance}.')
    start = f'{row} in '
    for left_out, mark in ((False, INCOMPLETE), (True, LEFT_OUT)):
        said += [f'{mark} {note}' for note in partial_notes(alone, left_out) if note.startswith(start)]
    if lost := [name for name in lost_predictions(alone) if name.startswith(start)]:
        said.append(f'Intervals are less precise where predictions are missing: {"; ".join(lost)}.')
    said += dict.fromkeys(note for record in records for note in record.notes)
    yield '\n'.join(f'- {_escaped(note)}' for note in said) + '\n'


def _facts(record: Record, described: dict | None) -> str:
    """What is known of the weights, and how to load them."""
    encoder = record.encoder
    facts = {
        'Weights': encoder['checkpoint'] or 'drawn at random',
        'sha256': encoder['sha256'],
        'Pretraining data': encoder['pretraining_data'],
        'Source': encoder['source'],
    }
    if described is not None:
        backbone, clip, training = described['backbone'], described['clip'], described.get('training') or {}
        arch = backbone['arch']
        stride = clip.get('stride_frames')
        facts |= {
            'Architecture': f'ViT of {arch["depth"]} blocks, width {arch["embed_dims"]}, {arch["num_heads"]} heads; '
            f'tubelets of {backbone["tubelet_size"]} x {backbone["patch_size"]} x {backbone["patch_size"]}',
            'Clips': f'{clip["num_frames"]} frames'
            + (f', {stride} video frames apart' if stride else ', spread over the video')
            + f', {clip["size"]} x {clip["size"]} pixels',
            'Normalisation': f'mean {list(described["mean"])}, std {list(described["std"])} of uint8 RGB',
            'Trained with': training.get('config'),
            'Config sha256': training.get('config_sha256'),
            'Commit': training.get('commit'),
            'Epochs': training.get('epochs'),
        }
    lines = [f'- {key}: {_escaped(str(value))}' for key, value in facts.items() if value not in (None, '')]
    if described is not None:
        lines += ['', '```python', 'from sigma import load_encoder', '']
        lines += ["encoder = load_encoder('encoder.safetensors')", '```']
    return '\n'.join(lines) + '\n'


def _measured(records: list[Record]) -> str:
    """Versions, devices, and the commands."""

    def some(values: Iterable[Any]) -> str:
        return ', '.join(dict.fromkeys(str(value) for value in values if value is not None)) or 'not recorded'

    hours = sum(record.run['seconds'] for record in records) / 3600
    started = sorted(record.run['started'][:10] for record in records)
    packages = {f'{name} {version}' for r in records for name, version in (r.get('run.packages') or {}).items()}
    said = [
        f'- Protocols: {_escaped(some("{name} v{version}".format_map(record.protocol) for record in records))}',
        f'- Commit: {some(record.get("run.commit") for record in records)}',
        f'- Devices: {_escaped(some(record.run["device"] for record in records))}; {hours:.1f} hours in all',
        f'- Measured: {" to ".join(dict.fromkeys((started[0], started[-1])))}',
        f'- Packages: {_escaped(some(sorted(packages)))}',
        '',
    ]
    commands = [command_of(record) for record in records]
    if not all(record.get('run.command') for record in records):
        said += ['Some records do not hold the command that made them; theirs is put together from what they say.', '']
    said += ['Each record can be measured again:', '', '```bash', *commands[:MOST_COMMANDS], '```']
    if len(commands) > MOST_COMMANDS:
        said += ['', f'{len(commands) - MOST_COMMANDS} more commands are in the records (`run.command`).']
    return '\n'.join(said) + '\n'


def _escaped(text: str) -> str:
    """Text of a record as Markdown shows it: no markup, no HTML, no cell of a table ends early."""
    for character in '\\`*_[]|':
        text = text.replace(character, f'\\{character}')
    return ' '.join(text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;').split())
