"""`make install`: a virtual environment in .venv with every package of the lock files, checked by hash.

Runs with the system's Python and its standard library alone. Packages are fetched by uv (itself installed from a hashed
pin), or by pip where uv has no wheel or fails. Skipped when the lock files did not change since the last time.
`python3 operate/install.py [--dev] [--peers] [--gateway-peers] [--lock]`: with what tests need; or .venv-peers or
.venv-gateway-peers, environments of their own for those that the benchmarks compare with; or make the lock files anew
from the *.in files.
"""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PEERS_VENV = ROOT / ".venv-peers"
GATEWAY_PEERS_VENV = ROOT / ".venv-gateway-peers"
PYTHON = VENV / "bin" / "python"
RUNTIME = ("requirements.lock", "requirements-nodeps.lock")
DEV = ("requirements-dev.lock",)
PEERS = ("bench/peers/requirements.lock",)
GATEWAY_PEERS = ("bench/peers/gateway.lock",)
LOCK_OPTIONS = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-annotate",
                "--no-header", "--quiet")  # fmt: skip
# what a machine's pip was told about where packages come from, and uv's names for the same
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
    "trusted-host": "UV_INSECURE_HOST",
    "proxy": "ALL_PROXY",
}


def main(args: list[str]) -> int:
    """Install what is missing; exit code 0 when everything is there."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the system may have an older one
        print(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    os.chdir(ROOT)  # relative paths from here on: the folder's own name may have spaces
    if "--lock" in args:
        return make_locks()
    if "--peers" in args:
        return 0 if install(PEERS, PEERS_VENV) else 1
    if "--gateway-peers" in args:
        return 0 if install(GATEWAY_PEERS, GATEWAY_PEERS_VENV) else 1
    return 0 if install((*RUNTIME, *(DEV if "--dev" in args else ())), VENV) else 1


def install(locks: Sequence[str], venv: Path) -> bool:
    """Bring an environment to what these lock files say; False where that cannot be done."""
    stamps = {name: venv / f".installed-{Path(name).name}" for name in locks}
    missing = [name for name, stamp in stamps.items() if not stamp.exists() or stamp.read_text() != _digest(name)]
    if not missing:
        return True
    begun = time.monotonic()
    print(f"installing {', '.join(missing)} into {venv.name} ...", flush=True)
    make_environment(venv)
    if not (install_with_uv(missing, venv) or install_with_pip(missing, venv)):
        print("the packages could not be installed", file=sys.stderr)
        return False
    for name in missing:
        stamps[name].write_text(_digest(name))
    print(f"installed in {time.monotonic() - begun:.0f} s", flush=True)
    return True


def make_environment(venv: Path = VENV) -> None:
    """Make an environment, unless a working one is there."""
    python = _python(venv)
    if not Path(python).exists() or subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)


def install_with_uv(locks: list[str], venv: Path) -> bool:
    """Quick: seconds where the packages are near. False where uv is not to be had here or fails."""
    if not get_uv():
        return False
    command = [str(PYTHON), "-m", "uv", "pip", "install", "--quiet", "--python", _python(venv), "--no-deps",
               "--require-hashes", "--compile-bytecode"]  # fmt: skip
    return _run([*command, *_files(locks)], uv_environment())


def install_with_pip(locks: list[str], venv: Path) -> bool:
    """Slower, and there wherever Python is."""
    print("uv did not do it: installing with pip, which takes longer", flush=True)
    command = [_python(venv), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--require-hashes"]  # fmt: skip
    return _run([*command, *_files(locks)])


def get_uv() -> bool:
    """Install uv from its hashed pin."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--require-hashes", "--only-binary", ":all:"]  # fmt: skip
    return _run([*command, *_files(["requirements-uv.lock"])])


def uv_environment() -> dict[str, str]:
    """Our environment, with what this machine's pip is configured to use, which uv does not read by itself."""
    values = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_LINK_MODE": "copy", **os.environ}
    listed = subprocess.run([str(PYTHON), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    for line in listed.stdout.splitlines():
        name, _, quoted = line.partition("=")
        name = name.rpartition(".")[2]
        if name in PIP_TO_UV and PIP_TO_UV[name] not in os.environ:
            words = str(ast.literal_eval(quoted)).split()
            values[PIP_TO_UV[name]] = ("," if name == "find-links" else " ").join(words)
    return values


def make_locks() -> int:
    """Make the lock files anew, with hashes for every platform and without the address of an index."""
    make_environment()
    if not get_uv():
        return 1
    environment = uv_environment()
    for name in (*RUNTIME, *DEV, "requirements-uv.lock", *PEERS, *GATEWAY_PEERS):
        more = ["--no-deps"] if "-nodeps" in name else []
        files = [name.replace(".lock", ".in"), "-o", name]
        if not _run([str(PYTHON), "-m", "uv", "pip", "compile", *LOCK_OPTIONS, *more, *files], environment):
            return 1
    return 0


def _files(locks: list[str]) -> list[str]:
    return [word for name in locks for word in ("-r", name)]


def _run(command: list[str], environment: dict[str, str] | None = None) -> bool:
    return subprocess.run(command, env=environment, check=False).returncode == 0


def _digest(name: str) -> str:
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()


def _python(venv: Path) -> str:
    return str(venv / "bin" / "python")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
