"""A contestant in a process of its own, often of another environment, which answers in JSON, a line each."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from typing import IO, Any, Final

from react_rl.errors import ReActError

THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip


class ContestantProcess:
    """A running contestant; use as a context manager, which ends it.

    Args:
        command: Program and arguments.
        threads: Threads it may use.

    Raises:
        ReActError: The program cannot be started.
    """

    def __init__(self, command: Sequence[str], threads: int = 1) -> None:
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"TQDM_DISABLE": "1"}
        environment.pop("PYTHONPATH", None)
        try:
            self.process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
        except OSError as error:
            raise ReActError(
                f"{command[0]!r} cannot be started ({error.strerror}); "
                "give the python of an environment with the peers as --peer-python."
            ) from error

    def __enter__(self) -> ContestantProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.output):
            assert stream is not None, "the process is started with pipes"
            stream.close()

    @property
    def output(self) -> IO[bytes]:
        """What it says."""
        assert self.process.stdout is not None, "the process is started with pipes"
        return self.process.stdout

    def ask(self, request: object = None) -> None:
        """Send a request, an empty line where there is nothing to say."""
        assert self.process.stdin is not None, "the process is started with pipes"
        text = "" if request is None else json.dumps(request)
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for the next answer.

        Raises:
            ReActError: The process ended without one.
        """
        line = self.output.readline()
        if not line:
            raise self.ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ended(self) -> ReActError:
        """The sentence about a process that ended without an answer."""
        return ReActError(
            f"A contestant ended with status {self.process.wait()}; its message is above. Is the environment "
            "of --peer-python made as experiments/benchmarks/README.md says?"
        )
