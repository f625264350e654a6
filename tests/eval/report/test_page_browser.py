"""The page in a real browser: it opens from disk without a network, sorts, filters, shows what is behind a number."""

import shutil
import sys
import time
from pathlib import Path

import pytest

from eval.records import read_record
from eval.report.page import page
from eval.report.page.footage import Footage
from eval.report.table import Table
from tests.browser import SCREENSHOTS, Tab, chromium
from tests.conftest import ROOT
from tests.eval.report.test_page import GOOD, LABEL, POOR, answered
from tests.tools.videos import tiny_clip

sys.path.insert(0, str(ROOT / 'tests' / 'data' / 'records'))
from build_records import add_record, digest, make_record  # noqa: E402

pytestmark = pytest.mark.integration

EVIL = '<img src=x onerror="hacked=1">\'&amp;'
RIGHT_TO_LEFT = 'מקודד-וידאו'
LONG = 'a_name_of_eighty_characters_' + 'x' * 52
ENCODERS = {'random': POOR, 'sigma_mlp_toy': GOOD, EVIL: POOR, RIGHT_TO_LEFT: [0] * 10, LONG: GOOD}
CELL = 'sigma_mlp_toy | finetune / toy'
HREF = '#cell=sigma_mlp_toy%20%7C%20finetune%20%2F%20toy'


@pytest.fixture(scope='module')
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope='module')
def report(tmp_path_factory) -> Path:
    """A page with five encoders, three columns, strange names, a log, curves and videos."""
    root = tmp_path_factory.mktemp('report')
    for number, (name, answer) in enumerate(ENCODERS.items()):
        own = {'encoder.name': name, 'notes': [f'</script>{EVIL}']}
        answered(root, f'encoder_{number}', LABEL, answer, changes=own)
    for name, accuracy in (('random', 10), ('sigma_mlp_toy', 60)):
        add_record(root, encoder=name, accuracy=accuracy, dataset='toy_shift', protocol='frozen_linear', num_listed=20)
    add_record(root, encoder='sigma_mlp_toy', accuracy=70, dataset='toy_rhythms', num_listed=20, num_unscored=1)
    add_log(root, 'encoder_1_finetune_toy_s0')
    videos = root / 'videos' / 'toy' / 'test'
    videos.mkdir(parents=True)
    tiny_clip(videos / '0000.mp4')
    for i in range(1, 9):  # 0009 is not there
        shutil.copy(videos / '0000.mp4', videos / f'{i:04d}.mp4')
    text = page(
        Table.read([root / 'records']),
        title=f'Report {EVIL}',
        command='python tools/report.py --records w',
        curves=lambda folder: {'loss': ([1, 2, 3, 4], [3.0, 2.0, 1.5, 1.0])},
        footage=Footage([root / 'videos'], use_cards=False),
    )
    out = root / 'report.html'
    out.write_text(text, encoding='utf-8')
    return out


def add_log(root: Path, name: str) -> None:
    """A log and curves in the cell's folder, and a change of its recipe."""
    path = next(root.rglob(f'{name}.json'))
    record = read_record(path)
    folder = root / 'cells' / f'{name}-{record.cell["id"][:8]}'
    (folder / 'vis_data').mkdir(parents=True)
    (folder / 'cell.log').write_text('starting\nrecord: written\n')


def rows(tab: Tab) -> list[str]:
    return tab.page.locator('#matrix tbody tr:not([hidden])').evaluate_all('all => all.map((row) => row.dataset.row)')


def columns(tab: Tab) -> list[str]:
    return tab.page.locator('#matrix th[data-column]:not([hidden])').evaluate_all(
        'all => all.map((h) => h.dataset.sort)'
    )


def test_it_opens_from_disk_and_says_who_wins(browser, report):
    tab = Tab(browser, report)
    assert tab.page.title() == f'Report {EVIL}'
    assert tab.page.locator('h1').inner_text() == f'Report {EVIL}'
    assert tab.page.locator('#summary li').count() >= 3
    assert 'Newest record: 2026-01-01T00:00:00+00:00' in tab.page.locator('footer').inner_text()
    assert tab.page.locator('footer code').inner_text() == 'python tools/report.py --records w'
    assert 'fingerprint' in tab.page.locator('#glossary').inner_text()
    assert tab.page.evaluate('typeof hacked') == 'undefined'  # no name ran as markup
    tab.shoot('light', whole=True)
    tab.close()


def test_it_sorts(browser, report):
    tab = Tab(browser, report)
    was = rows(tab)
    button = tab.page.locator('th[data-sort="frozen_linear / toy_shift"] .sort')
    button.click()
    assert rows(tab)[:2] == ['sigma_mlp_toy', 'random']  # the others have no number there
    assert rows(tab)[2:] == [row for row in was if row not in ('sigma_mlp_toy', 'random')]
    assert tab.page.locator('[aria-sort=descending]').get_attribute('data-sort') == 'frozen_linear / toy_shift'
    button.click()
    assert rows(tab)[:2] == ['random', 'sigma_mlp_toy']
    assert tab.page.locator('[aria-sort=ascending]').count() == 1
    button.click()
    assert rows(tab) == was
    tab.page.locator('th[data-sort="name"] .sort').click()
    assert rows(tab)[0] == EVIL
    tab.page.reload()
    assert rows(tab)[0] == EVIL  # the address keeps the order
    tab.close()


def test_it_filters_by_encoder_protocol_and_dataset(browser, report):
    tab = Tab(browser, report)
    assert tab.page.locator('#shown').inner_text() == '5 of 5 encoders, 3 of 3 columns'
    tab.page.fill('#filter-encoder', 'SIGMA, random')
    assert sorted(rows(tab)) == ['random', 'sigma_mlp_toy']
    tab.page.select_option('#filter-protocol', 'frozen_linear')
    assert columns(tab) == ['frozen_linear / toy_shift']
    assert tab.page.locator('#matrix .group:not([hidden])').evaluate_all('all => all.map((head) => head.colSpan)') == [
        1
    ]
    assert tab.page.locator('#shown').inner_text() == '2 of 5 encoders, 1 of 3 columns'
    tab.page.reload()
    assert (sorted(rows(tab)), columns(tab)) == (['random', 'sigma_mlp_toy'], ['frozen_linear / toy_shift'])
    tab.page.click('text=Show all')
    tab.page.select_option('#filter-dataset', 'toy_rhythms')
    assert (len(rows(tab)), columns(tab)) == (5, ['finetune / toy_rhythms'])
    assert 'dataset=toy_rhythms' in tab.page.url
    tab.close()


def test_it_shows_what_is_behind_a_number(browser, report):
    tab = Tab(browser, report)
    tab.page.click(f'#matrix a[data-cell="{CELL}"]')
    dialog = tab.page.locator('dialog[open]')
    assert dialog.locator('h2').inner_text() == CELL
    assert dialog.locator('.large').inner_text().startswith('80.0')
    for heading in ('Scores by class', 'Which classes are taken for which', 'End of the log'):
        dialog.locator(f'summary:has-text("{heading}")').click()
    assert dialog.locator('.classes tbody tr').all_inner_texts() == [
        'class 2\t3\t66.7', 'class 0\t4\t75.0', 'class 1\t3\t100.0',
    ]  # fmt: skip
    assert dialog.locator('.confusion td').all_inner_texts() == list('310030102')
    said = dialog.inner_text()
    assert 'record: written' in said
    assert digest('toy test') in said  # hash of the list
    assert 'torch 2.0.0' in said
    assert f'</script>{EVIL}' in said
    assert 'python eval/run_cell.py' in said
    assert dialog.locator('.curves svg').get_attribute('aria-label') == 'loss: from 3 to 1 in 4 steps'
    assert tab.page.url.endswith(HREF)
    tab.shoot('cell')
    tab.page.go_back()
    assert tab.page.locator('dialog[open]').count() == 0
    tab.close()


def test_links_to_cells_can_be_shared(browser, report):
    tab = Tab(browser, report, HREF)
    assert tab.page.locator('dialog[open] h2').inner_text() == CELL
    tab.page.click('dialog >> text=Close')
    assert '#' not in tab.page.url
    tab.close()
    tab = Tab(browser, report, '#cell=nobody%20%7C%20nothing')
    assert 'no such cell' in tab.page.locator('dialog[open]').inner_text()
    tab.close()


def test_it_plays_the_videos_on_which_two_encoders_disagree(browser, report):
    tab = Tab(browser, report)
    tab.page.select_option('#versus-column', 'finetune / toy')
    tab.page.select_option('#versus-first', 'sigma_mlp_toy')
    tab.page.select_option('#versus-second', 'random')
    assert [text.replace('\u2068', '') for text in tab.page.locator('#versus h3').all_inner_texts()] == [
        'sigma_mlp_toy right, random wrong: 4 of 10 videos',
        'random right, sigma_mlp_toy wrong: 1 of 10 videos',
    ]
    assert tab.page.locator('#versus video').count() == 5
    first = tab.page.locator('#versus video').first
    moved = (
        '(video) => new Promise((done) => { video.ontimeupdate = () => done(video.currentTime > 0); video.play(); })'
    )
    assert first.evaluate(moved)
    assert first.evaluate('(video) => [video.videoWidth, video.videoHeight]') == [64, 64]
    assert 'first=sigma_mlp_toy' in tab.page.url
    tab.page.locator('#versus').scroll_into_view_if_needed()
    tab.shoot('videos')
    tab.close()


def test_light_and_dark(browser, report):
    tab = Tab(browser, report, color_scheme='dark')
    paper = 'getComputedStyle(document.body).backgroundColor'
    assert tab.page.evaluate(paper) == 'rgb(20, 23, 28)'
    assert tab.page.evaluate(LOWEST_CONTRAST) >= 4.5
    tab.shoot('dark', whole=True)
    tab.page.click('#theme')
    assert tab.page.evaluate(paper) == 'rgb(255, 255, 255)'
    tab.page.reload()
    assert tab.page.evaluate(paper) == 'rgb(255, 255, 255)'  # the choice is kept
    assert tab.page.evaluate(LOWEST_CONTRAST) >= 4.5
    tab.close()


# Contrast (WCAG 2) of the text in the heat table with its cell, where it is lowest.
LOWEST_CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const channels = (colour, opacity = 1, under = [255, 255, 255]) => {
    canvas.fillStyle = `rgb(${under.join(' ')})`;
    canvas.fillRect(0, 0, 1, 1);
    canvas.globalAlpha = opacity;
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    canvas.globalAlpha = 1;
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  return Math.min(...[...document.querySelectorAll('#matrix td a, #matrix td small')].map((text) => {
    const under = channels(getComputedStyle(text.closest('td')).backgroundColor);
    const style = getComputedStyle(text);
    const [a, b] = [light(channels(style.color, Number(style.opacity), under)), light(under)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
}"""


@pytest.mark.parametrize('width', [320, 390])
def test_a_phone_needs_no_sideways_scrolling(browser, report, width):
    tab = Tab(browser, report, size=(width, 800), is_mobile=True, has_touch=True)
    wide = 'document.documentElement.scrollWidth'
    assert tab.page.evaluate(wide) <= width
    tab.shoot(f'phone-{width}', whole=True)
    tab.page.locator('details').evaluate_all('all => all.forEach((each) => { each.open = true; })')
    assert tab.page.evaluate(wide) <= width
    tab.page.locator(f'#matrix a[data-cell="{CELL}"]').tap()
    assert tab.page.locator('dialog[open]').evaluate('(dialog) => dialog.scrollWidth <= dialog.clientWidth')
    tab.shoot(f'phone-{width}-cell')
    tab.close()


def test_the_keyboard_alone_is_enough(browser, report):
    tab = Tab(browser, report)
    focused = 'document.activeElement.dataset.cell'
    for _ in range(60):
        tab.page.keyboard.press('Tab')
        if tab.page.evaluate(focused):
            break
    first = tab.page.evaluate(focused)
    assert first.endswith('| finetune / toy')
    tab.page.keyboard.press('ArrowDown')
    below = tab.page.evaluate(focused)
    assert below != first
    tab.page.keyboard.press('ArrowUp')
    assert tab.page.evaluate(focused) == first
    tab.page.keyboard.press('Enter')
    assert tab.page.locator('dialog[open] h2').inner_text() == first
    tab.page.keyboard.press('Escape')
    assert tab.page.locator('dialog[open]').count() == 0
    assert tab.page.evaluate(focused) == first  # back where it was
    unnamed = '(each) => !(each.textContent.trim() || each.labels?.length || each.ariaLabel)'
    controls = tab.page.locator('button, select, input, a')
    assert controls.evaluate_all(f'all => all.filter({unnamed}).map((each) => each.outerHTML)') == []
    tab.close()


def test_it_prints_without_controls_and_unfolded(browser, report):
    tab = Tab(browser, report)
    folded = 'document.querySelectorAll("details:not([open])").length'
    tab.page.evaluate(f'addEventListener("beforeprint", () => {{ window.folded = {folded}; }})')
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    data = tab.page.pdf(path=SCREENSHOTS / 'print.pdf', print_background=True)
    assert data.startswith(b'%PDF')
    assert tab.page.evaluate('window.folded') == 0
    tab.page.emulate_media(media='print')
    for hidden in ('nav', '#filters', '#theme'):
        assert not tab.page.locator(hidden).is_visible()
    assert tab.page.locator('.copy:visible').count() == 0
    tab.close()


def test_names_are_shown_as_they_are(browser, report):
    tab = Tab(browser, report)
    names = tab.page.locator('#matrix tbody th bdi').all_inner_texts()
    assert sorted(names) == sorted(ENCODERS)
    right_to_left = tab.page.locator(f'#matrix tr[data-row="{RIGHT_TO_LEFT}"] bdi')
    assert right_to_left.evaluate('(name) => getComputedStyle(name).direction') == 'rtl'
    assert tab.page.locator(f'#matrix tr[data-row="{LONG}"] th').evaluate('(head) => head.offsetWidth') <= 260
    tab.page.click(f'#matrix tr[data-row="{RIGHT_TO_LEFT}"] a')
    assert tab.page.locator('dialog[open] h2').inner_text() == f'{RIGHT_TO_LEFT} | finetune / toy'
    tab.close()


def test_it_can_be_read_without_scripts(browser, report):
    tab = Tab(browser, report, java_script_enabled=False)
    assert tab.page.locator('#matrix tbody tr').count() == 5
    assert tab.page.locator('#filters').is_hidden()
    assert 'sigma_mlp_toy' in tab.page.locator('#summary').inner_text()
    assert 'needs JavaScript' in tab.page.locator('#versus').inner_text()
    tab.close()


def test_a_thousand_cells(browser, tmp_path):
    """Ready within 2 s on two idle cores; the time is printed (-rP), not asserted."""
    records = [
        make_record(f'encoder_{row:02d}', dataset=f'data_{column:02d}', value=50 + (row * (column + 3)) % 41)
        for column in range(25)
        for row in range(40)
    ]
    table = Table(records)
    out = tmp_path / 'report.html'
    out.write_text(page(table))
    tab = Tab(browser, out)
    tab.page.wait_for_selector('html[data-ready]', state='attached')
    ready = tab.page.evaluate('performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd')
    assert tab.page.locator('#matrix tbody td').count() == 1000
    start = time.perf_counter()
    tab.page.click('th[data-sort="finetune / data_07"] .sort')
    assert tab.page.locator('[aria-sort=descending]').count() == 1
    sort = time.perf_counter() - start
    print(f'1,000 cells, {out.stat().st_size / 1e6:.1f} MB: ready in {ready / 1000:.2f} s, sorted in {sort:.2f} s')
    means = {row: cell.interval.mean for row, cell in table.measured[7].cells.items()}
    assert [means[row] for row in rows(tab)] == sorted(means.values(), reverse=True)
    tab.page.fill('#filter-encoder', 'encoder_1')
    assert len(rows(tab)) == 10
    tab.shoot('1000-cells')
    tab.close()
