"""The pages: tables and paragraphs that can be scanned, links that hold, commands that exist, and the site."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docs import hooks
from tests.conftest import PATIENCE, ROOT

PAGES = [ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')] + sorted(ROOT.glob('docs/**/*.md'))
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
COLUMNS = 120
LINES = 5  # of a paragraph
CODE = re.compile(r'^```.*?^```', re.M | re.S)


def paragraphs(text: str) -> list[list[str]]:
    """Prose of a page: paragraphs and list items, without code, tables and headings."""
    found = [[]]
    for line in CODE.sub('\n', text).splitlines():
        if not line.strip() or line.startswith(('|', '#', '![', '<!--')):
            found.append([])
        elif re.match(r'\s*([-*]|\d+\.) ', line):
            found.append([line])
        else:
            found[-1].append(line)
    return [lines for lines in found if lines]


def cells(text: str) -> list[str]:
    """Every cell of every table of a page."""
    rows = [line.strip().strip('|') for line in CODE.sub('\n', text).splitlines() if line.startswith('|')]
    return [cell.strip() for row in rows for cell in re.split(r'(?<!\\)\|', row)]


def test_the_measures_see_what_is_too_long():
    text = '# A\n\none\ntwo\n- three\n\n| a | ' + 'b' * 121 + ' |\n```\n| no table |\nno prose\n```\n'
    assert paragraphs(text) == [['one', 'two'], ['- three']]
    assert [len(cell) for cell in cells(text)] == [1, 121]


@pytest.mark.parametrize('page', PAGES, ids=NAMES)
def test_tables_and_paragraphs_can_be_scanned(page):
    text = page.read_text()
    for cell in cells(text):
        assert len(cell) <= COLUMNS, f'{page.name}: a cell of {len(cell)} characters: {cell}'
    for lines in paragraphs(text):
        assert len(lines) <= LINES, f'{page.name}: a paragraph of {len(lines)} lines: {lines[0]}'
        for line in lines:
            assert len(line) <= COLUMNS, f'{page.name}: a line of {len(line)} characters: {line}'


@pytest.mark.parametrize('page', PAGES, ids=NAMES)
def test_links_lead_to_files(page):
    for target in re.findall(r'\]\(([^)#\s]+)', CODE.sub('', page.read_text())):
        if not target.startswith('http'):
            assert (page.parent / target).exists(), f'{page.name} links to {target}'


@pytest.mark.parametrize('page', PAGES, ids=NAMES)
def test_commands_and_configs_exist(page):
    text = '' if page.name == 'CHANGELOG.md' else page.read_text()  # it may name what is gone
    for path in re.findall(r'\b(?:tools|eval|mmaction_configs|sigma|tests)/[\w./-]+\.(?:py|sh)\b', text):
        assert (ROOT / path).is_file(), f'{page.name} names {path}'
    for module in re.findall(r'python -m (tools\.\w+|sigma\.\w+)', text):
        path = ROOT / module.replace('.', '/')
        assert path.with_suffix('.py').is_file() or (path / '__main__.py').is_file(), f'{page.name} names {module}'


def test_the_readme_begins_with_the_two_commands_and_the_picture():
    screen = '\n'.join((ROOT / 'README.md').read_text().splitlines()[:40])
    for word in ('bash tools/quickstart.sh', 'bash tools/test.sh', 'docs/comparison.png'):
        assert word in screen


def test_links_of_the_repository_become_links_of_the_site():
    text = '[a](docs/severe.md#data) [b](CONTRIBUTING.md) ![c](docs/comparison.png)\n```\n[d](docs/x.md)\n```\n'
    site = '[a](severe.md#data) [b](contributing.md) ![c](comparison.png)\n```\n[d](docs/x.md)\n```\n'
    assert hooks.site_links(text, 'index.md') == site
    assert hooks.site_links('[a](../README.md) [b](severe.md)', 'design.md') == '[a](index.md) [b](severe.md)'
    titled = '[The benchmark](severe.md) and [Departures from published code](departures.md#finetune)'
    assert (
        hooks.site_links(
            '[docs/severe.md](docs/severe.md) and [departures.md](docs/departures.md#finetune)', 'index.md'
        )
        == titled
    )
    page = '[a](../../CONTRIBUTING.md#a-suite) [b](../severe.md) ![c](pictures/d.png) [d](https://e.org/f) [g](#h)'
    site = '[a](../contributing.md#a-suite) [b](../severe.md) ![c](pictures/d.png) [d](https://e.org/f) [g](#h)'
    assert hooks.site_links(page, 'protocols/finetune.md') == site


def readme_blocks(language: str) -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```', (ROOT / 'README.md').read_text(), re.M | re.S)


def python(code: str, folder: Path, **environment) -> subprocess.CompletedProcess:
    """A block of the README, from a folder that is not the repository."""
    return subprocess.run(
        [sys.executable, '-c', code],
        cwd=folder,
        env=os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600 * PATIENCE,
    )


def test_the_losses_as_a_library(tmp_path):
    (block,) = [block for block in readme_blocks('python') if 'sigma.losses' in block]
    done = python(f'{block}\nprint(codes.shape, codes.sum(dim=1).sub(1).abs().max().item() < 1e-4)', tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split('\n')[-2] == 'torch.Size([64, 16]) True'


@pytest.mark.slow
def test_the_benchmark_as_a_library(tmp_path):
    made = subprocess.run(
        [sys.executable, 'tools/prepare.py', 'toy', '--out', str(tmp_path / 'data' / 'toy')],
        cwd=ROOT,
        env=os.environ | {'PYTHONWARNINGS': 'ignore'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    (block,) = [block for block in readme_blocks('python') if 'eval.measure' in block]
    done = python(f'{block}\nprint(len(table.records))', tmp_path, SIGMA_DATA=str(tmp_path / 'data'))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == '2'  # cells of the suite `demo`


@pytest.mark.integration
def test_the_lists_of_the_readme(tmp_path):
    (command,) = [line for block in readme_blocks('bash') for line in block.splitlines() if '--list' in line]
    words = shlex.split(command)
    for kind in ('suites', 'encoders', 'datasets', 'protocols', 'recipes', 'corruptions'):
        listed = [sys.executable, str(ROOT / words[1]), '--list', kind]
        done = subprocess.run(
            listed,
            cwd=tmp_path,
            env=os.environ | {'PYTHONPATH': str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=100 * PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) > 3


def test_the_site_builds_without_a_warning_and_without_network(tmp_path):
    environment = os.environ | {'NO_MKDOCS_2_WARNING': '1'}
    environment |= dict.fromkeys(('http_proxy', 'https_proxy', 'all_proxy'), 'http://127.0.0.1:9')  # nobody listens
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '--site-dir', str(tmp_path / 'site')],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    index = (tmp_path / 'site' / 'index.html').read_text()
    assert 'bash tools/quickstart.sh' in re.sub('<[^>]*>', '', index)  # the README
    for page in PAGES:
        name = hooks.PAGES.get(page.name) if page.parent == ROOT else page.relative_to(ROOT / 'docs')
        assert (tmp_path / 'site' / name).with_suffix('.html').is_file(), name
    for target in re.findall(r'(?:href|src)="([^"#]+)', index):
        if not target.startswith(('http', 'data:')):
            assert (tmp_path / 'site' / target.split('?')[0]).exists(), target
    loaded = re.findall(r'<(?:link|script|img)\b[^>]*(?:href|src)="(https?://[^"]+)', index)
    assert loaded == []  # a reader's browser asks no other host
