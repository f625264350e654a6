"""What every command shares."""

import signal
import subprocess
import sys


def test_sigterm_ends_a_command_with_a_sentence_and_143(tmp_path):
    code = (
        'import sys, time, multiprocessing\n'
        'from sigma.commands import end_with\n'
        'def main():\n'
        '    pool = multiprocessing.get_context("fork").Pool(1)\n'
        '    try:\n'
        '        print(pool.apply(abs, (-1,)), flush=True)\n'
        '        time.sleep(60)\n'
        '    finally:\n'
        '        pool.terminate()\n'
        'end_with(main)\n'
    )
    script = tmp_path / 'prepare.py'
    script.write_text(code)
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == '1\n'
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert said == 'prepare: terminated; no file is half written. Run the same command again.\n'
