"""A real SLURM on this machine: munged, slurmctld and two slurmd, n1 and n2, with one core each, in a temporary folder.

It needs root and the programs of slurm-wlm and munge, which `tools/test.sh` installs where apt is there.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import PATIENCE

PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'sbatch', 'srun', 'squeue', 'scancel')
NODES = ('n1', 'n2')
CONF = """
ClusterName=tests
SlurmctldHost={host}
SlurmUser=root
SlurmctldPort={ctld}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobRequeue=1
ReturnToService=2
MinJobAge={min_job_age}
InactiveLimit=0
KillWait=5
SlurmctldTimeout=30
SlurmdTimeout=20
SchedulerParameters=bf_interval=1,sched_interval=2,default_queue_depth=100,batch_sched_delay=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={n1} CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={n2} CPUs=1 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverTimeLimit=0
"""


def why_not() -> str | None:
    """Reason why no SLURM can be started here, or None."""
    if os.geteuid():
        return 'starting a SLURM needs root'
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f'{", ".join(absent)} not installed (packages slurm-wlm and munge)'
    return None


class Slurm:
    """A running SLURM.

    Args:
        folder: For its configuration, state and logs.
        min_job_age: Seconds that the controller remembers an ended job.
    """

    def __init__(self, folder: Path, min_job_age: int = 300) -> None:
        self.folder = folder
        host, ports = socket.gethostname().split('.')[0], _free_ports(3)
        folder.chmod(0o755)
        (folder / 'state').mkdir()
        names = dict(zip(('ctld', *NODES), ports))
        (folder / 'slurm.conf').write_text(CONF.format(host=host, folder=folder, min_job_age=min_job_age, **names))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith('SLURM_')},
            'SLURM_CONF': str(folder / 'slurm.conf'),
        }
        self._daemons: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> 'Slurm':
        try:
            self._name_nodes(True)
            self._start_munge()
            self._start('slurmctld', 'slurmctld', '-D', '-c')
            for node in NODES:
                self.start_node(node)
            self.wait_for(lambda: self.ask('sinfo', '-h', '-o', '%T').split() == ['idle'], 'idle nodes')
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            self.ask('scancel', '--user=root')
        for name in ('n2', 'n1', 'slurmctld', 'munged'):
            self.kill(name, signal.SIGTERM)
        self._name_nodes(False)

    def _name_nodes(self, known: bool) -> None:
        """Add the names of the nodes to /etc/hosts, or remove them; other tests may do the same at the same time."""
        own, hosts = f'127.0.0.1 {" ".join(NODES)} # {self.folder}\n', Path('/etc/hosts')
        with FileLock('/tmp/sigma-tests-hosts.lock'):
            text = hosts.read_text().replace(own, '')
            hosts.write_text(f'{text.rstrip()}\n{own}' if known else text)

    def start_node(self, name: str) -> None:
        """Start the daemon of a node."""
        self._start(name, 'slurmd', '-D', '-N', name)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a daemon: n1, n2, slurmctld or munged."""
        process = self._daemons.pop(name, None)
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=10 * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ask(self, *command: str) -> str:
        """Output of one of SLURM's commands.

        Raises:
            subprocess.CalledProcessError: if it failed.
        """
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60 * PATIENCE, check=True
        )
        return done.stdout.strip()

    def submit(self, *arguments: str, **environment: str) -> str:
        """Number of the job that sbatch made."""
        done = subprocess.run(
            ['sbatch', '--parsable', *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """State of a job, such as RUNNING or COMPLETED; GONE once the controller has forgotten it."""
        try:
            lines = self.ask('squeue', '--noheader', '--states=all', '--format=%T', f'--jobs={job}').split()
        except subprocess.CalledProcessError:
            return 'GONE'
        return lines[0] if lines else 'GONE'

    def wait_for(self, holds, what: str, seconds: float = 60) -> None:
        """Wait until `holds()`.

        Raises:
            AssertionError: after `seconds`, with what the daemons logged last.
        """
        end = time.monotonic() + seconds * PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(subprocess.CalledProcessError):
                if holds():
                    return
            time.sleep(0.2)
        raise AssertionError(f'no {what} within {seconds * PATIENCE:g} s:\n{self.told()}')

    def told(self, lines: int = 15) -> str:
        """The last lines of every log."""
        logs = sorted(self.folder.glob('*.log'))
        return '\n'.join(f'--- {log.name}\n' + '\n'.join(log.read_text().splitlines()[-lines:]) for log in logs)

    def _start_munge(self) -> None:
        key = self.folder / 'munge.key'
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        names = {name: f'{self.folder}/munge.{name}' for name in ('socket', 'pid', 'seed', 'log')}
        self._start(
            'munged',
            'munged',
            '--foreground',
            '--force',
            f'--key-file={key}',
            f'--socket={names["socket"]}',
            f'--pid-file={names["pid"]}',
            f'--seed-file={names["seed"]}',
            f'--log-file={names["log"]}',
        )
        self.wait_for(Path(names['socket']).exists, 'munge')

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f'{name}.out.log').open('ab') as log:
            self._daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )


@pytest.fixture(scope='module')
def slurm():
    """A SLURM with two nodes, for a module of tests."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    # Not under pytest's folders, which only their owner may enter; and sockets need short paths.
    with tempfile.TemporaryDirectory(prefix='slurm-') as folder, Slurm(Path(folder)) as running:
        yield running


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(('127.0.0.1', 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
