"""Build the virtual environment that every make target runs in, unless it is up to date.

Standard library only, and syntax that an old Python 3 can read: this file runs before anything is
installed, and has to say in one sentence what is wrong with a Python that is too old.

    python3 .ci/environment.py .venv
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

OLDEST, NEWEST = (3, 11), (3, 13)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CONSTRAINTS = os.path.join(ROOT, "constraints.txt")
# Settings of the user's shell that would send an installation elsewhere.
MISLEADING = ("PIP_TARGET", "PIP_USER", "PIP_PREFIX", "PYTHONHOME", "PYTHONPATH")
INPUTS = (CONSTRAINTS, os.path.join(ROOT, "pyproject.toml"), os.path.abspath(__file__))


class EnvironmentFailure(Exception):
    """One sentence for the person who typed make."""


def check_interpreter() -> None:
    """Refuse a Python that the project does not support or that cannot make environments.

    Raises:
        EnvironmentFailure: with what to install or to type instead.
    """
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        version = "{}.{}".format(*sys.version_info)
        raise EnvironmentFailure(
            f"{sys.executable} is Python {version}, and ReAct-RL needs 3.11 to 3.13: name one that is "
            "installed, for example `make test PYTHON=python3.12`."
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise EnvironmentFailure(
            f"{sys.executable} cannot make virtual environments: install its venv module "
            "(Debian and Ubuntu: `apt install python3-venv`)."
        ) from None


def wanted_state() -> "tuple[str, str]":
    """What the environment must have been built from.

    Returns:
        Interpreter and place, which need a new environment when they change, and a digest of the
        files, after whose change installing again is enough.
    """
    digest = hashlib.sha256()
    for name in INPUTS:
        with open(name, "rb") as file:
            digest.update(file.read())
    place = f"python {sys.version_info[0]}.{sys.version_info[1]}, {os.uname().machine}, {ROOT}"
    return place, digest.hexdigest()


def built_state(folder: str) -> "tuple[str, str]":
    """What a finished environment was built from; two empty strings where none was finished.

    Args:
        folder: path of the environment.
    """
    if not os.path.exists(os.path.join(folder, "bin", "python")):
        return "", ""  # absent, or a link to a Python that was uninstalled
    try:
        with open(stamp_path(folder), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return "", ""
    return (lines[0], lines[1]) if len(lines) == 2 else ("", "")


def stamp_path(folder: str) -> str:
    """The file that marks a folder as ours; it is empty until the environment is finished.

    Args:
        folder: path of the environment.
    """
    return os.path.join(folder, "built-from")


def run(command: "list[str]", lock: int) -> None:
    """Run one command; the lock stays held until it ends, even when this process is killed.

    Args:
        command: program and arguments.
        lock: open descriptor that carries the lock.

    Raises:
        EnvironmentFailure: if the command fails.
    """
    settings = {key: value for key, value in os.environ.items() if key not in MISLEADING}
    settings["PYTHONWARNINGS"] = "ignore"  # setuptools prints a page about editable installations
    if subprocess.run(command, pass_fds=(lock,), env=settings, check=False).returncode:
        raise EnvironmentFailure(
            f"`{' '.join(command)}` failed for the reason above; the same make command tries again."
        )


def empty(folder: str) -> None:
    """Remove everything but the mark, so that an interruption leaves a folder known to be ours.

    Args:
        folder: path of the environment.
    """
    mark = os.path.basename(stamp_path(folder))
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != mark:
            os.remove(entry.path)


def build(folder: str, lock: int) -> None:
    """Make or update the environment.

    Args:
        folder: path of the environment.
        lock: open descriptor that carries the lock.

    Raises:
        EnvironmentFailure: if the folder holds something else, or an installation fails.
    """
    wanted, built = wanted_state(), built_state(folder)
    if built == wanted:
        return
    stamp = stamp_path(folder)
    ours = os.path.exists(stamp) or os.path.exists(os.path.join(folder, "pyvenv.cfg"))
    if os.path.exists(folder) and not ours and not (os.path.isdir(folder) and not os.listdir(folder)):
        raise EnvironmentFailure(
            f"{folder} exists and is not a virtual environment: remove it, or choose another with `VENV=...`."
        )
    print(f"Building {folder} (minutes the first time)", flush=True)
    os.makedirs(folder, exist_ok=True)
    with open(stamp, "w", encoding="utf-8"):
        pass
    if built[0] != wanted[0]:
        empty(folder)
        run([sys.executable, "-m", "venv", folder], lock)
    python = os.path.join(folder, "bin", "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", CONSTRAINTS]
    # First what installs and builds the rest: an unpinned torch would be a second, larger download.
    run([*install, "pip", "setuptools", "torch"], lock)
    run([*install, "--no-build-isolation", "-e", f"{ROOT}[dev]"], lock)
    with open(stamp + ".part", "w", encoding="utf-8") as file:
        file.write("\n".join(wanted) + "\n")
    os.replace(stamp + ".part", stamp)


def main() -> int:
    """Bring the environment named on the command line up to date.

    Returns:
        Exit status: 0, or 2 after a sentence on standard error.
    """
    try:
        check_interpreter()
        folder = os.path.abspath(sys.argv[1])
        if built_state(folder) == wanted_state():
            return 0
        with open(CONSTRAINTS, "rb+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"Waiting for another make that is building {folder}", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            build(folder, lock.fileno())
    except EnvironmentFailure as failure:
        print(failure, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted: the next make builds the environment again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
