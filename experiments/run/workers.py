"""Worker processes that end with their parent, and of which one can die without taking the others along.

A worker is a fresh interpreter on the other end of a socket. What is large is written once to a file
without a name, which all workers map into their memory. Nothing here knows what is played.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import mmap
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Generic, TypeVar

from react_rl.files import WriteError, abandon_unfinished

Task = TypeVar("Task")
Result = TypeVar("Result")

GRACE: Final = 3.0
"""Seconds that workers have to end once nothing more is asked of them; then they are killed."""
TRIES: Final = 2
"""Times that a task is begun; a worker that dies over it is replaced before the next."""
_ALIGNMENT: Final = 64
_PROGRAM: Final = """\
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches all processes; the parent decides
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
import sys
sys.path[:] = {path!r}
from react_rl.experiments.run.workers import serve
serve({socket}, {shared})
"""


@dataclass(frozen=True)
class Death:
    """Stands for the result of a task whose workers died.

    Args:
        reason: How, as a sentence.
    """

    reason: str


def usable_processors() -> int:
    """Processors that this process may use: its affinity, and the quota of its control group."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        count = min(count, -(-int(quota) // int(period)))
    return max(count, 1)


class Workers(Generic[Task, Result]):
    """A pool of worker processes; use it as a context manager.

    Workers are started when there is work for them and end with the context.

    Args:
        function: Called in a worker with a task and the shared values; a function of a module.
        shared: Values by name that every task may look up; their arrays are shared, not copied.
        jobs: Most workers at a time.
        modules: Imported in every worker before anything else, such as a user's own strategies.

    Raises:
        WriteError: There is no room for the shared values where temporary files go.
    """

    def __init__(
        self,
        function: Callable[[Task, Mapping[str, Any]], Result],
        shared: Mapping[str, Any],
        jobs: int,
        modules: Sequence[str] = (),
    ) -> None:
        self._jobs = jobs
        try:
            self._file, places = _write_shared(shared)
        except OSError as error:
            folder = tempfile.gettempdir()
            raise WriteError(error.errno, error.strerror, f"a file in {folder} (TMPDIR)") from error
        self._job = pickle.dumps((list(modules), pickle.dumps(function), places))
        self._idle: list[_Worker] = []
        self._all: list[_Worker] = []

    def __enter__(self) -> Workers[Task, Result]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._all:
            worker.connection.close()
        until = time.monotonic() + GRACE
        for worker in self._all:
            worker.end(max(until - time.monotonic(), 0.0))
        self._file.close()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result | Death]]:
        """Play tasks, and yield each with its result as soon as it is there, in any order.

        A task whose worker dies is given to a fresh one; if that dies too, its result is a ``Death``.

        Raises:
            Exception: Whatever the function raised.
        """
        waiting = deque((task, 1) for task in tasks)
        busy: dict[Connection, tuple[_Worker, Task, int]] = {}
        while waiting or busy:
            while waiting and len(busy) < self._jobs:
                task, attempt = waiting.popleft()
                worker = self._idle.pop() if self._idle else self._start()
                with contextlib.suppress(OSError):  # it died while it had nothing to do, which shows below
                    worker.connection.send(task)
                busy[worker.connection] = (worker, task, attempt)
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker, task, attempt = busy.pop(connection)
                try:
                    raised, value = connection.recv()
                except (EOFError, OSError):
                    reason = self._bury(worker)
                    if attempt < TRIES:
                        waiting.appendleft((task, attempt + 1))
                    else:
                        yield task, Death(reason)
                    continue
                if raised:
                    raise value
                self._idle.append(worker)
                yield task, value

    def _start(self) -> _Worker:
        ours, theirs = socket.socketpair()
        passed = (theirs.fileno(), self._file.fileno())
        program = _PROGRAM.format(path=sys.path, socket=passed[0], shared=passed[1])
        # Small products want one thread each; the workers are what runs side by side.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        # Blocked from the first moment on, Ctrl-C waits until the program ignores it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", program],
                stdin=subprocess.DEVNULL,
                pass_fds=passed,
                env=threads | dict(os.environ),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        worker = _Worker(process, Connection(ours.detach()))
        self._all.append(worker)
        with contextlib.suppress(OSError):  # it died at once, which shows when it has a task
            worker.connection.send_bytes(self._job)
        return worker

    def _bury(self, worker: _Worker) -> str:
        worker.connection.close()
        worker.end(GRACE)
        self._all.remove(worker)
        status = worker.process.returncode
        how = f"ended with status {status}"
        if status < 0:
            how = f"was ended by {signal.Signals(-status).name}"
        if -status == signal.SIGKILL:
            how += ", as happens when memory is short"
        return f"its worker process died twice and the last one {how}; run the comparison again"


@dataclass(frozen=True, eq=False)
class _Worker:
    """A running worker process and our end of its socket."""

    process: subprocess.Popen[bytes]
    connection: Connection

    def end(self, patience: float) -> None:
        """Wait for the process, which ends when its socket is closed; kill it after ``patience`` seconds."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _write_shared(values: Mapping[str, Any]) -> tuple[IO[bytes], dict[str, list[tuple[int, int]]]]:
    """Pickle values into a file without a name; returns where each pickle and its arrays are in it."""
    file = tempfile.TemporaryFile(prefix="react-rl-")  # noqa: SIM115 - open as long as there are workers
    places: dict[str, list[tuple[int, int]]] = {}
    for name, value in values.items():
        buffers: list[pickle.PickleBuffer] = []
        own = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        places[name] = []
        for part in (memoryview(own), *(buffer.raw() for buffer in buffers)):
            # The alignment of freshly allocated tensors, so that products are computed in the same order.
            start = -(-file.tell() // _ALIGNMENT) * _ALIGNMENT
            file.seek(start)
            file.write(part)
            places[name].append((start, part.nbytes))
    file.flush()
    return file, places


class _Shared(Mapping[str, Any]):
    """Shared values in a worker, unpickled when first asked for; their arrays stay in the file."""

    def __init__(self, descriptor: int, places: Mapping[str, list[tuple[int, int]]]) -> None:
        size = os.fstat(descriptor).st_size
        # Pages are shared until somebody writes, and then private.
        self._memory = memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY) if size else b"")
        self._places = places
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            own, *arrays = [self._memory[start : start + size] for start, size in self._places[name]]
            self._known[name] = pickle.loads(own, buffers=arrays)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def serve(descriptor: int, shared: int) -> None:
    """Be a worker: play the tasks that come through a socket until its other end is closed.

    Args:
        descriptor: Our end of the socket.
        shared: The file with the shared values.
    """
    signal.signal(signal.SIGTERM, lambda *_: _end())
    _end_with_parent()
    connection = Connection(descriptor)
    try:
        job = connection.recv_bytes()
    except (EOFError, OSError):
        return
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, tasks), daemon=True).start()
    function: Callable[[Any, Mapping[str, Any]], Any] | None = None
    while True:
        try:
            task = pickle.loads(tasks.get())
            if function is None:
                modules, pickled, places = pickle.loads(job)
                for module in modules:
                    importlib.import_module(module)
                values, function = _Shared(shared, places), pickle.loads(pickled)
            answer = (False, function(task, values))
        except Exception as error:  # the parent raises it
            answer = (True, _sendable(error))
        with contextlib.suppress(OSError, ValueError):  # standard output has no reader, or is closed
            print(end="", flush=True)  # nothing is flushed in the end
        with contextlib.suppress(OSError):  # the parent is gone, which ends this process while it waits
            connection.send(answer)


def _sendable(error: Exception) -> Exception:
    """The error with its traceback as a note; one that cannot be pickled is replaced by its words."""
    error.add_note(f"In a worker process:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _listen(connection: Connection, tasks: queue.SimpleQueue[Any]) -> None:
    """Put tasks into the queue; when the parent is gone, end this process, whatever it is doing."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            tasks.put(connection.recv_bytes())
    _end()


def _end() -> None:
    """End this process at once, from any thread, and leave nothing half-written.

    An exception in the main thread is no way out: one that reaches a destructor or a callback is lost.
    """
    abandon_unfinished()
    os._exit(1)


def _end_with_parent() -> None:
    """Let the kernel end this process with its parent, also while compiled code keeps all threads waiting."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
