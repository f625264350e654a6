"""What the pages of docs/protocols and docs/data promise: a page for everything, and commands that are understood."""

import ast
import io
import re
import shlex

import pytest
from PIL import Image

from eval import run_severe
from eval.matrix.suites import SUITES
from eval.protocols.declared import declared_protocols
from eval.report.figures import all_figures
from sigma.configs import CONFIG_ROOT, card_names
from sigma.data.cards import load_dataset_card
from sigma.datasets import published
from tests.conftest import ROOT
from tools import pictures, prepare

PROTOCOLS = {page.stem: page.read_text() for page in sorted(ROOT.glob('docs/protocols/*.md'))}
INDEX = PROTOCOLS.pop('index')
DATA = {page.stem: page.read_text() for page in sorted(ROOT.glob('docs/data/*.md'))}
BASH = re.compile(r'^```bash\n(.*?)^```', re.M | re.S)
MOST_BYTES = 60_000
SECTIONS = ['How the number is made', 'Departures', 'What to watch', 'Run it', 'What to expect']
DATASETS = [name for name in card_names('datasets') if load_dataset_card(name).info.get('prepare')]


def commands(text: str, tool: str) -> list[list[str]]:
    """The arguments of every command of a tool in the shell blocks of a page, comments left out."""
    lines = [line for block in BASH.findall(text) for line in block.replace('\\\n', ' ').splitlines()]
    words = [shlex.split(line.replace('"$SIGMA_DATA', '"data'), comments=True) for line in lines]
    return [found[2:] for found in words if found[:2] == ['python', tool]]


def listed(text: str) -> dict[str, int | None]:
    """Protocols that a page is about, with the version it states: the line `Protocols: ...`, or the table below it."""
    part = text[text.index('\nProtocols') :]
    part = part[: part.index('![')].partition('Source:')[0]
    found = re.findall(r'`([a-z][a-z0-9_-]+)`(?: \((?:version (\d+))?)?', part)
    return {name: int(version) if version else None for name, version in found}


def test_every_protocol_has_one_page_and_pages_name_no_other():
    names = [name for text in PROTOCOLS.values() for name in listed(text)]
    assert sorted(names) == sorted(declared_protocols())
    assert set(re.findall(r'\]\((\w+)\.md\)', INDEX)) == set(PROTOCOLS)


def versions() -> dict[str, int]:
    """Protocols that state name and version as literals, read without importing torch."""
    found = {}
    for file in sorted(ROOT.glob('eval/protocols/*.py')):
        for part in ast.parse(file.read_text()).body:
            if isinstance(part, ast.ClassDef):
                plain = [
                    one for one in part.body if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant)
                ]
                values = {one.targets[0].id: one.value.value for one in plain}
                found |= {values['name']: values['version']} if {'name', 'version'} <= set(values) else {}
    return found


def test_pages_state_the_version_of_today():
    stated = {name: version for text in PROTOCOLS.values() for name, version in listed(text).items() if version}
    assert stated == {name: number for name, number in versions().items() if name in stated}
    assert len(stated) >= 11


@pytest.mark.parametrize('page', PROTOCOLS)
def test_a_protocol_page_has_all_its_parts_and_a_small_picture(page):
    text = PROTOCOLS[page]
    assert re.findall(r'^## (.+)', text, re.M) == SECTIONS
    assert 'departures.md#' in text
    (picture,) = re.findall(r'!\[[^]]{20,}\]\((\S+)\)', text)  # with words for those who do not see it
    assert picture == f'pictures/{page}.png'
    file = ROOT / 'docs' / 'protocols' / picture
    assert file.stat().st_size <= MOST_BYTES
    assert Image.open(file).width == round(pictures.WIDTH * pictures.DPI)


def test_every_page_has_a_picture_that_the_tool_draws():
    assert set(pictures.PICTURES) == set(PROTOCOLS)
    assert {file.stem for file in (ROOT / 'docs' / 'protocols' / 'pictures').iterdir()} == set(PROTOCOLS)


def test_the_tool_draws_the_same_picture(tmp_path, capsys):
    assert pictures.main(['arrow_of_time', '--out', str(tmp_path)]) == 0
    drawn = Image.open(io.BytesIO((tmp_path / 'arrow_of_time.png').read_bytes())).convert('L')
    kept = Image.open(ROOT / 'docs' / 'protocols' / 'pictures' / 'arrow_of_time.png').convert('L')
    assert drawn.size == kept.size
    unlike = sum(abs(a - b) > 40 for a, b in zip(drawn.tobytes(), kept.tobytes()))
    assert unlike < 0.05 * len(drawn.tobytes())  # fonts and palettes may differ a little
    with pytest.raises(SystemExit):
        pictures.main(['repetitions'])
    assert 'there is no picture repetitions; known: finetune,' in capsys.readouterr().err


@pytest.mark.parametrize('name', DATASETS)
def test_the_command_of_every_dataset_is_on_one_page_with_its_source_and_licence(name):
    info = load_dataset_card(name).info
    pages = [
        page for page, text in DATA.items() if re.search(rf'(^|`){re.escape(info["prepare"])}($|`| *#)', text, re.M)
    ]
    assert len(pages) == 1, info['prepare']
    (page,) = pages
    assert f'`{name}`' in DATA['index'] + DATA[page] or page == 'altered'
    assert f']({page}.md)' in DATA['index']
    for address in re.findall(r'https?://[^\s();,]+', info.get('obtain', '')):
        assert address in DATA[page], address
    assert 'icence' in DATA[page]


def test_every_published_dataset_states_its_command():
    assert set(published.published_cards()) <= set(DATASETS)


@pytest.mark.parametrize('page', [*PROTOCOLS, 'index'])
def test_commands_of_protocol_pages_measure_what_they_name(page):
    text = PROTOCOLS.get(page, INDEX)
    assert text.count('eval/run_severe.py --suite') >= 1
    for words in commands(text, 'eval/run_severe.py'):
        args = run_severe.parse_args(words)
        if args.list:
            continue
        measured = {entry.protocol for entry in SUITES[args.suite]}
        assert set(args.protocols or []) <= measured, (words, measured)
        for encoder in args.encoders:
            assert encoder.partition('@')[0] in card_names('encoders')


def test_the_suite_that_the_pages_use_has_a_cell_of_every_protocol_with_a_rendered_form():
    columns = [(entry.protocol, entry.dataset) for entry in SUITES['protocols_toy']]
    assert len(columns) == len(set(columns))
    measured = [protocol for protocol, _ in columns]
    without = {name for name in declared_protocols() if name.endswith('_external') or name.startswith('out_of_context')}
    without |= {name for name in declared_protocols() if name.startswith('frozen_episodes_20way')}  # toy has 10 classes
    families = {name for name in declared_protocols() if re.match(r'robustness_(?!frozen$)', name)}
    assert set(measured) == set(declared_protocols()) - without - families


EVERY = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted(ROOT.glob('docs/**/*.md'))]


@pytest.mark.parametrize('page', EVERY, ids=[str(page.relative_to(ROOT)) for page in EVERY])
def test_commands_of_every_page_are_understood(page):
    text = page.read_text()
    known = {*SUITES, 'majority'}  # an example adds that one
    for words in commands(text, 'eval/run_severe.py'):
        args = run_severe.parse_args(words)
        assert args.list or args.suite in known or args.suite.endswith('.py'), words
    for words in commands(text, 'tools/prepare.py'):
        assert prepare._parser(words).parse_args(words).run, words
    for words in commands(text, 'tools/plot.py'):
        figure = words[words.index('--figure') + 1] if '--figure' in words else 'bars'
        assert figure in all_figures() or figure.endswith('.py'), words


@pytest.mark.parametrize('page', DATA)
def test_options_that_data_pages_name_exist(page):
    for option in set(re.findall(r'(?<![\w-])--[a-z][\w-]+', DATA[page])) - {'--help'}:
        files = ('tools/prepare.py', 'eval/run_severe.py', 'eval/matrix/arguments.py')
        sources = [ROOT / file for file in files]
        assert any(f"'{option}'" in source.read_text() for source in sources), f'{page} names {option}'


def test_cards_that_pages_name_are_there():
    for text in (*PROTOCOLS.values(), *DATA.values()):
        for name in re.findall(r'`((?:finetune|frozen|localization|robustness|multi_label)_[a-z0-9_]+)`', text):
            known = {*card_names('recipes'), *declared_protocols(), *SUITES}
            assert name in known, name
    assert (CONFIG_ROOT / 'suites' / 'protocols_toy.py').is_file()
