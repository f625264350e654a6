"""States of SLURM jobs from `squeue`, one call for all of them.

submitit asks `sacct`, which needs accounting: without it every call fails with a warning, and the end of a job that
left no result is never seen. `squeue` always answers. It forgets a job some minutes after its end (`MinJobAge`), so a
job that it does not name any more has ended.
"""

from __future__ import annotations

import getpass
import logging
import subprocess
import time

from submitit.slurm.slurm import SlurmInfoWatcher, read_job_id

LOG = logging.getLogger(__name__)
GONE = 'GONE'  # ended, and forgotten by the controller


class QueueWatcher(SlurmInfoWatcher):
    """What submitit asks for the state of a job.

    Args:
        delay_s: Most seconds from one call of `squeue` to the next.
    """

    def __init__(self, delay_s: int = 15) -> None:
        super().__init__(delay_s)
        self._unseen: dict[str, int] = {}  # job -> answers in a row that did not name it

    def _make_command(self) -> list[str]:
        # All of the user's jobs: asked for a list of numbers, squeue fails if it has forgotten one.
        return ['squeue', '--noheader', '--array', '--states=all', f'--user={getpass.getuser()}', '--format=%i|%T|%N']

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """Job -> its JobID, State and NodeList, from the output of `squeue`."""
        found = {}
        for line in (string.decode() if isinstance(string, bytes) else string).splitlines():
            job, _, rest = line.partition('|')
            state, _, nodes = rest.partition('|')
            for parts in read_job_id(job.strip()):
                found['_'.join(parts[:2])] = {'JobID': job.strip(), 'State': state.strip(), 'NodeList': nodes.strip()}
        return found

    def update(self) -> None:
        """Ask once for all jobs. If SLURM does not answer, the states stay as they were."""
        waiting = self._registered - self._finished
        if not waiting:
            return
        self._num_calls += 1
        self._last_status_check = time.time()
        try:
            done = subprocess.run(self._make_command(), capture_output=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            LOG.debug('squeue does not answer: %s', error)
            return
        found = self.read_info(done.stdout)
        self._info_dict |= found
        for job in waiting:
            self._unseen[job] = 0 if job in found else self._unseen.get(job, 0) + 1
            if self._unseen[job] >= 2:  # one answer may be from before the job was queued
                self._info_dict[job] = {**self._info_dict.get(job, {'JobID': job, 'NodeList': ''}), 'State': GONE}
            if self.is_done(job, mode='cache'):
                self._finished.add(job)
