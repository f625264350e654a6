"""Time is split by part, and the verdict is right for known figures."""

import re
import time

import pytest

from tests.conftest import DEMO, assert_one_sentence, believe, call_main
from tools.benchmark import __main__ as benchmark
from tools.benchmark import input as reading

DECODE, RESIZE, OTHER = ({part: 0.1 + 2 * (part == name) for part in reading.PARTS} for name in reading.PARTS)


@pytest.mark.parametrize(
    ('seconds', 'rate', 'cores', 'wanted', 'bound', 'word'),
    [
        (DECODE, 30, 16, 480, 'compute', '16 workers'),
        (DECODE, 30, 15, 480, 'decode', '16 cores'),
        (DECODE, 30, 15, 480, 'decode', '--gop 12'),
        (DECODE, 30, 15, 480, 'decode', '--codec jpeg'),
        (RESIZE, 30, 15, 481, 'resize', '17 cores'),
        (OTHER, 30, 2, 480, 'other', "motion='codec'"),
    ],
)
def test_the_verdict(seconds, rate, cores, wanted, bound, word):
    found, remedy = reading.verdict(seconds, rate, cores, wanted)
    assert found == bound
    assert word in remedy


def test_no_machine_with_51739_cores_is_advised():
    """A tiny model on a fast device: no input feeds it, and the device is not the one that trains it."""
    bound, remedy = reading.verdict(DECODE, 2.0, 2, 103_477)
    assert bound == 'decode'
    assert '51739' not in remedy
    assert '2 workers, one for each core, give 4 clips/s' in remedy
    assert '--device-clips' in remedy


@pytest.mark.parametrize('seconds', [DECODE, RESIZE])
def test_what_was_re_encoded_is_not_to_be_re_encoded_again(seconds):
    _, remedy = reading.verdict(seconds, 30, 15, 480, is_reencoded=True)
    assert 're-encoded already' in remedy
    assert 'prepare.py' not in remedy


def test_copies_are_known_by_the_settings_beside_them(tmp_path):
    video = tmp_path / 'copies' / 'class' / 'a.mp4'
    video.parent.mkdir(parents=True)
    assert not reading.is_reencoded(str(video))
    (tmp_path / 'copies' / 'encoding.json').write_text('{}')
    assert reading.is_reencoded(str(video))


def test_time_is_split_by_part_and_no_cache_is_used():
    seconds = dict.fromkeys(reading.PARTS, 0.0)
    pipeline = [
        {'type': 'sigma.OpenVideo', 'decoder': 'decord'},
        {'type': 'sigma.DecodeFrames', 'cache_megabytes': 100},
        {'type': 'sigma.ResizeSquare', 'size': 8},
        {'type': 'sigma.TubeMask', 'grid': (2, 2)},
    ]
    steps = reading.timed_steps(pipeline, 'pyav', seconds)
    assert [step.part for step in steps] == ['decode', 'decode', 'resize', 'other']
    assert steps[0].transform.decoder == 'pyav'
    assert steps[1].transform.cache_bytes == 0
    slow = reading.Timed(lambda results: time.sleep(0.02) or results, 'resize', seconds)
    slow({})
    assert seconds['resize'] >= 0.02
    assert seconds['decode'] == 0


def test_the_command_reads_a_config_with_several_decoders(capsys, toy):
    done = call_main(
        benchmark.main, capsys, 'input', DEMO, '--card', toy, '--clips', 3, '--cores', 2, '--decoders', 'proved', 'pyav'
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(
        r'(proved|pyav) +([\d.]+) clips/s per core \(3 clips: decode (\d+)%, resize (\d+)%, other (\d+)%', done.stdout
    )
    assert [row[0] for row in rows] == ['proved', 'pyav']
    for row in rows:
        assert 98 <= sum(map(int, row[2:])) <= 102
        assert int(row[2]) > 20  # the video is decoded again for each clip
    assert 'of the peak of an H100' in done.stdout
    done = call_main(
        benchmark.main,
        capsys,
        'input',
        DEMO,
        '--card',
        toy,
        '--clips',
        2,
        '--device-clips',
        0.001,
        '--decoders',
        'pyav',
    )
    assert 'takes 0 clips/s (as given)' in done.stdout
    assert 'compute-bound: the input keeps up with 1 workers' in done.stdout
    assert 'decord' not in done.stdout


def test_a_video_that_cannot_be_decoded_is_named(toy, tmp_path):
    import shutil

    shutil.copytree(toy, tmp_path / 'toy')
    first = (tmp_path / 'toy' / 'train.txt').read_text().splitlines()[1].split()[0]
    (tmp_path / 'toy' / 'videos' / first).write_bytes(b'no video')
    believe(tmp_path / 'toy')
    from sigma.data.cards import read_config

    dataset = read_config(DEMO).train_dataloader.dataset.to_dict()
    found = reading.measure(dataset, str(tmp_path / 'toy'), 'pyav', 3)
    assert len(found['failures']) == 1
    assert first in found['failures'][0]


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['absent.py'], ('absent.py',)),
        ([DEMO, '--clips', '0'], ('--clips 0', 'positive')),
        ([DEMO, '--device-clips', '-3'], ('--device-clips -3', 'positive')),
        ([DEMO, '--card', 'nowhere'], ('nowhere',)),
    ],
)
def test_bad_input_is_one_sentence(capsys, arguments, words):
    assert_one_sentence(call_main(benchmark.main, capsys, 'input', *arguments), *words)


def test_the_faster_decoder_is_named_if_the_config_uses_the_other():
    rates = {'decord': 4.0, 'pyav': 10.0}
    said = reading.other_decoder(rates, 'decord', 0)
    assert 'pyav reads these files 2.5 times as fast as decord' in said
    assert 'pipeline.0.decoder=pyav' in said
    assert not reading.other_decoder(rates, 'pyav', 0)
    assert not reading.other_decoder({'decord': 9.0, 'pyav': 10.0}, 'decord', 0)
    assert not reading.other_decoder({'pyav': 10.0}, 'decord', 0)  # the decoder of the config was not measured
