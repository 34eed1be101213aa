#!/usr/bin/env python3
"""`make tools`: build the Go programs that tests drive, into the cache.

    python3 tests/tools/build.py NAME...        make them, unless they are there
    python3 tests/tools/build.py --path NAME    the same for one, and say where it is

Each directory beside this file that has a `go.mod` is one program: `go.sum` pins its modules, and the `tool` line, or a
`main.go`, says what to build. A program that is on PATH is not built. What cannot be made here is named, with the
remedy; tests that need it are skipped by name. This file needs nothing but Python's standard library.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "logbrook"
INSTALL_GO = "install Go 1.21 or newer (https://go.dev/dl), then run `make tools`"
# What a program says of its own version: the variable, and the module that has the version.
_VERSIONS = {
    "pulumi": ("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version", "github.com/pulumi/pulumi/pkg/v3"),
    "docker-compose": ("github.com/docker/compose/v5/internal.Version", "github.com/docker/compose/v5"),
    "victoria-logs": (
        "github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version",
        "github.com/VictoriaMetrics/VictoriaLogs",
    ),
}
# Where Docker looks for its plugins (https://github.com/docker/cli, cli-plugins/manager/manager_unix.go). The compose
# plugin works by itself, too; a `docker-compose` on PATH may be the one of version 1.
_PLUGINS = (
    Path.home() / ".docker/cli-plugins",
    *(
        Path(root, "docker/cli-plugins")
        for root in ("/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec")
    ),
)
# Without inlining and debugging information, compiling takes 38 % less processor time. What benchmarks measure is
# compiled as everywhere else: VictoriaLogs always, the others with OPTIMIZED=1. The tag leaves out what is needed
# for gRPC inside of Google's network (https://pkg.go.dev/cloud.google.com/go/storage), a twelfth of Pulumi's CLI.
_QUICKLY = ["-gcflags=all=-l -dwarf=false", "-gcflags=std=", "-tags=disable_grpc_modules"]
_REPORT_SECONDS = 5.0


class UnavailableError(Exception):
    """This machine cannot make the tool; the text is the reason and the remedy."""


def _compiler_flags(name: str) -> list[str]:
    return [] if name == "victoria-logs" or os.environ.get("OPTIMIZED") else _QUICKLY


def cached(name: str) -> Path:
    """Where the tool is, or will be; another place for each version. The program is in a directory called `bin`."""
    sources = sorted(path for path in (HERE / name).rglob("*") if path.is_file())
    read = [path.name.encode() + path.read_bytes() for path in sources]
    digest = hashlib.sha256(b"".join([*read, *map(str.encode, _compiler_flags(name))])).hexdigest()
    return CACHE / f"{name}-{digest[:12]}" / "bin" / name


def find(name: str) -> Path | None:
    """The tool, of this machine or from the cache; None if it has to be made first."""
    return next((path for path in (*_installed(name), cached(name)) if path.exists()), None)


def _installed(name: str) -> list[Path]:
    if name == "docker-compose":
        return [directory / name for directory in _PLUGINS]
    found = shutil.which(name)
    return [Path(found)] if found else []


def missing(name: str) -> str:
    """Why a test that needs the tool is skipped."""
    try:
        _require_go()
    except UnavailableError as error:
        return f"needs {name}, {error}"
    return f"needs {name}: run `make tools`"


def make(name: str) -> None:
    """Make the tool unless it is there. Raises UnavailableError, or SystemExit if the build fails."""
    if find(name):
        return
    _require_go()
    target = cached(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(CACHE / f"{name}.lock", name):
        if target.exists():
            return
        _build(name, target)


def _require_go() -> None:
    if not shutil.which("go"):
        raise UnavailableError(f"which Go builds, and `go` is not on PATH: {INSTALL_GO}")
    found = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False)
    version = re.match(r"go(\d+)\.(\d+)", found.stdout)
    # From 1.21 on, Go fetches the version that a go.mod asks for.
    if version is None or (int(version[1]), int(version[2])) < (1, 21):
        raise UnavailableError(
            f"which this Go, {found.stdout.strip() or found.stderr.strip()}, can't build: {INSTALL_GO}"
        )


@contextlib.contextmanager
def _alone(path: Path, name: str) -> Iterator[None]:
    """Wait until no other process makes the tool: of two at once, the second finds what the first made."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{name}: another process is making it, waiting", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(name: str, target: Path) -> None:
    """Go keeps each package that it has compiled, so an interrupted build goes on where it was."""
    source, started = HERE / name, time.monotonic()
    package = "." if (source / "main.go").exists() else _line(source / "go.mod", r"^tool (\S+)$")
    progress = Progress(name)
    listing = ["list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", package]
    progress.expect(_go(source, listing, progress).split())
    flags = "-s -w"
    if name in _VERSIONS:
        variable, module = _VERSIONS[name]
        version = _line(source / "go.mod", rf"{module} (v\S+)")
        flags += f" -X {variable}={version}"
    unfinished = target.with_suffix(f".{os.getpid()}")
    try:
        _go(source, ["build", "-v", "-ldflags", flags, "-o", str(unfinished), package], progress)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    progress.end(f"built in {time.monotonic() - started:.0f} s, kept in {target.parent}")


def _line(path: Path, pattern: str) -> str:
    found = re.search(pattern, path.read_text(), re.MULTILINE)
    assert found, f"{path} has no line {pattern}"
    return found[1]


def _go(source: Path, words: list[str], progress: "Progress") -> str:
    """Run Go, count the lines of its progress; what it answered."""
    with tempfile.TemporaryFile("w+") as answer:
        command = ["go", words[0], *_compiler_flags(source.name), *words[1:]]
        # The compiler collects its garbage less often, which saves a fifth of the processor time.
        environment = {"GOGC": "400"} | os.environ
        with subprocess.Popen(
            command, cwd=source, env=environment, stdout=answer, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr
            last = progress.follow(process.stderr)
        if process.returncode:
            progress.end("could not be built")
            remedy = (
                "What was compiled is kept. `make test TOOLS=` does without: tests that need it are skipped by name."
            )
            raise SystemExit("\n".join(["", *last, "", f"`go {words[0]}` failed in {source}. {remedy}"]))
        answer.seek(0)
        return answer.read()


class Progress:
    """How far a build is: one line that is written over on a terminal, else a line every few seconds."""

    def __init__(self, name: str) -> None:
        self._name, self._out = name, sys.stdout
        self._fetched = self._compiled = 0
        self._expected: list[str] = []
        self._shown = time.monotonic() - _REPORT_SECONDS
        self._show("building it with Go, once; minutes on a slow machine")

    def expect(self, packages: list[str]) -> None:
        """These are to be compiled; the program itself is the last."""
        self._expected = packages

    def follow(self, lines: Iterable[str]) -> list[str]:
        """Count what Go reports, and show it now and then; the last lines that it wrote."""
        last: list[str] = []
        for line in lines:
            last = [*last[-19:], line.rstrip()]
            if line.startswith("go: downloading"):
                self._fetched += 1
                self._now_and_then(f"fetched {self._fetched} modules")
            elif not line.startswith(("go: ", "#", " ", "\t")):
                self._compiled += 1
                self._now_and_then(f"compiled {self._compiled} of {len(self._expected)} packages")
                if line.strip() in self._expected[-1:]:
                    self._show("linking")
        return last

    def _now_and_then(self, text: str) -> None:
        if time.monotonic() - self._shown >= (0.1 if self._out.isatty() else _REPORT_SECONDS):
            self._show(text)

    def _show(self, text: str) -> None:
        self._shown = time.monotonic()
        line = f"{self._name}: {text}"
        self._out.write(f"\r\033[K{line}" if self._out.isatty() else f"{line}\n")
        self._out.flush()

    def end(self, text: str) -> None:
        """Show the outcome."""
        self._show(text)
        if self._out.isatty():
            self._out.write("\n")


def main(names: list[str]) -> int:
    """Make each tool; one that this machine can't make is named, and is a failure only if its path is asked for."""
    if names[:1] == ["--path"]:
        with contextlib.redirect_stdout(sys.stderr):
            status = main(names[1:])
        print(find(names[1]) or "")
        return status or int(find(names[1]) is None)
    for name in names:
        try:
            make(name)
        except UnavailableError as error:
            print(f"Without {name}, {error}. Tests that need it are skipped.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
