"""The data node converges: from an empty machine, after a failure, and after each deploy; and says how far it is."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra import render
from infra.config import DISKS
from tests.components import until
from tests.infra.test_boot import RULES, SECRETS, VARIABLES, _Google, _programs, google

__all__ = ["google"]
REGISTRY = "us-central1-docker.pkg.dev"


class Machine:
    """A root directory, and stand-ins for what changes a real machine; each notes how it is called."""

    def __init__(self, root: Path, google: str) -> None:
        self.root, self.calls = root, root / "calls"
        self.calls.touch()
        (root / "installed").write_text("")
        (root / "etc").mkdir()
        (root / "etc/fstab").write_text("# the image's own\n")
        self.attach(*(disk.name for disk in DISKS))
        note = (
            f'echo "${{0##*/}} $*" >>{self.calls}; failure={root}/fail-${{0##*/}};'
            "[[ ! -e $failure ]] || { cat $failure >&2; exit 100; }"
        )
        mounts = f"""[[ $* != "start mnt-logbrook-"* ]] || {{
            disk=${{2#mnt-logbrook-}}; touch {root}/mounted-${{disk%.mount}}; }}"""
        path = _programs(
            root / "bin",
            **{
                "dpkg-query": f'for each in "${{@:4}}"; do grep -x installed {root}/installed; done',
                "dpkg": note,
                "apt-get": f"{note}; [[ $* != *install* ]] || echo installed >{root}/installed",
                "wipefs": f'cat {root}/contents-$(basename "${{@: -1}}") 2>/dev/null || true',
                "mkfs.ext4": f'{note}; echo ext4 >{root}/contents-$(basename "${{@: -1}}")',
                "mountpoint": f'[[ -e {root}/mounted-$(basename "${{@: -1}}") ]]',
                "resize2fs": note,
                "iptables": note,
                "systemctl": f"{note}; {mounts}",
                "install": f'[[ $* != *--owner* ]] || {{ {note}; exit 0; }}; exec {shutil.which("install")} "$@"',
                "docker": f"cat >/dev/null </dev/null; {note}",
            },
        )
        self.environ = {
            "PATH": path,
            "LOGBROOK_ROOT": str(root),
            "GCE_METADATA_HOST": google,
            "LOGBROOK_SECRETS_URL": f"http://{google}",
        }

    def attach(self, *disks: str) -> None:
        """Attach disks under the names that Compute Engine gives them."""
        for disk in disks:
            device = self.root / f"dev/disk/by-id/google-logbrook-{disk}"
            device.parent.mkdir(parents=True, exist_ok=True)
            device.touch()

    def boot(self) -> None:
        """What Compute Engine runs at each boot."""
        subprocess.run(["bash", "-c", render.startup_script()], env=self.environ, check=True)

    def node(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`logbrook-node ...`, as it was installed."""
        command = ["bash", str(self.root / "usr/local/sbin/logbrook-node"), *words]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False)

    def fail(self, program: str, message: str = "") -> None:
        """Let a program fail with this message, or work again without one."""
        path = self.root / f"fail-{program}"
        path.write_text(message + "\n") if message else path.unlink()

    def called(self, *beginnings: str) -> list[str]:
        """The calls so far that begin so; then forget all."""
        lines = self.calls.read_text().splitlines()
        self.calls.write_text("")
        return [line for line in lines if line.startswith(beginnings)]


@pytest.fixture
def machine(tmp_path: Path, google: str) -> Machine:
    """A machine at its first boot, with a deploy's metadata."""
    _Google.bundle = _bundle()
    made = Machine(tmp_path, google)
    made.boot()
    return made


def _bundle(**variables: str) -> str:
    return render.bundle(VARIABLES | variables, SECRETS, REGISTRY)


def _compose(calls: list[str]) -> list[str]:
    return [each.partition("compose.cloud.yaml ")[2] for each in calls if "compose.cloud.yaml" in each]


def test_the_startup_script_alone_starts_it(machine: Machine) -> None:
    """It installs each file as it is in the repository, and starts the unit; nothing else is needed of the image."""
    for name, (mode, path) in render.MACHINE_FILES.items():
        installed = machine.root / path.removeprefix("/")
        assert installed.read_bytes() == render.boot_file(name).encode()
        assert oct(installed.stat().st_mode & 0o777) == oct(int(mode, 8))
    assert machine.called("systemctl") == [
        "systemctl daemon-reload",
        "systemctl enable --quiet logbrook.service",
        "systemctl start --no-block logbrook.service",
    ]
    assert not list(machine.root.rglob("*.new"))


def test_from_an_empty_machine_to_ready(machine: Machine) -> None:
    """Packages, files, disks, services; then it says `ready`, here and to Google, with its bundle's digest."""
    machine.called()
    done = machine.node("converge")
    assert done.returncode == 0, done.stderr
    calls = machine.called("")
    programs = [each.split()[0] for each in calls]
    # Docker's first call is the login to the registry.
    order = [programs.index(each) for each in ("apt-get", "docker", "mkfs.ext4", "iptables")]
    assert order == sorted(order)
    assert programs.count("mkfs.ext4") == len(DISKS)
    assert [each.split()[0] for each in _compose(calls)] == ["rm", "pull", "up", "run", "run", "up"]
    assert "--wait" in _compose(calls)[2]
    assert [each.split()[-1] for each in _compose(calls)[2:]] == ["clickhouse", "migrate", "access", "audit"]
    digest = hashlib.sha256(_Google.bundle.encode()).hexdigest()
    assert digest == render.digest(_Google.bundle)
    assert _Google.attributes == ["starting", f"ready {digest}"]
    status = machine.node("status")
    assert status.returncode == 0
    assert status.stdout.startswith("state     ready\n")
    assert digest in status.stdout


def test_alerts_run_where_there_are_rules(machine: Machine) -> None:
    """A deploy waits for Alertmanager, whose configuration somebody wrote, and not for rules. Without any, both go."""
    _Google.bundle = render.bundle(VARIABLES, SECRETS, REGISTRY, RULES)
    machine.called()
    assert machine.node("converge").returncode == 0
    calls = machine.called("")
    pull, *_, up, wait = _compose(calls)
    assert pull.endswith("audit alert alertmanager")
    assert up.endswith("audit alert alertmanager")
    assert wait.endswith("--wait --wait-timeout 120 alertmanager")
    made = {each.rpartition("/")[2]: each for each in calls if "--directory" in each}
    assert "--owner=10001 " in made["alert-data"]
    assert "--owner=65534 " in made["alertmanager-data"]
    # Alertmanager writes its silences down when it ends.
    machine.node("stop")
    assert {"logbrook-alert-1", "logbrook-alertmanager-1"} <= set(machine.called("docker stop")[0].split())
    _Google.bundle = _bundle()
    assert machine.node("converge").returncode == 0
    assert _compose(machine.called(""))[0] == "rm --force --stop alert alertmanager"


def test_it_never_waits_for_a_unit_that_waits_for_it(machine: Machine) -> None:
    """A start job waits for those of the units it is ordered after: waiting for one of those would never end.

    job_is_runnable() in https://github.com/systemd/systemd/blob/0034ae26e8b1/src/core/job.c; `enable --now` starts.
    """
    units = render.BOOT.glob("logbrook*.service")
    later = {unit.name for unit in units if "After=logbrook.service\n" in unit.read_text()}
    assert "logbrook-watch.service" in later
    machine.called()
    assert machine.node("converge").returncode == 0
    calls = [set(each.split()) for each in machine.called("systemctl")]
    touching = [words for words in calls if words & later]
    assert touching
    assert all("--no-block" in words for words in touching)


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    """No package, no file system, no unit and no line of fstab is made twice."""
    machine.node("converge")
    fstab = (machine.root / "etc/fstab").read_text()
    machine.called()
    assert machine.node("converge").returncode == 0
    assert machine.called("apt-get", "dpkg", "mkfs", "systemctl daemon-reload", "systemctl reload") == []
    assert (machine.root / "etc/fstab").read_text() == fstab
    assert fstab.count("google-logbrook-") == len(DISKS)


def test_a_disk_that_a_deploy_adds_is_formatted_and_mounted(machine: Machine) -> None:
    """The run that brings its name mounts it before it starts what uses it; the others stay as they are."""
    machine.node("converge")
    bundle = json.loads(_Google.bundle)
    bundle["files"]["boot/disks"] += "archive archive-data:1000\n"
    _Google.bundle = json.dumps(bundle)
    machine.attach("archive")
    machine.called()
    assert machine.node("converge").returncode == 0
    calls = machine.called("mkfs", "systemctl start mnt", "install")
    assert [each.rpartition("-")[2] for each in calls[:2]] == ["archive", "archive.mount"]
    assert calls[-1].endswith("/archive/archive-data")


def test_an_installation_that_failed_is_tried_again(machine: Machine) -> None:
    """Without a way out, packages are missing: it says so, with apt's words and the next try, and then succeeds."""
    machine.fail("apt-get", "Reading package lists...\nE: Unable to fetch some archives")
    assert machine.node("converge").returncode != 0
    assert _Google.attributes == ["starting", "failed packages: E: Unable to fetch some archives"]
    status = machine.node("status")
    assert status.returncode == 1
    assert "state     failed at packages" in status.stdout
    assert "error     E: Unable to fetch some archives" in status.stdout
    assert "next try  in " in status.stdout
    assert machine.called("docker", "mkfs") == []
    machine.fail("apt-get")
    assert machine.node("converge").returncode == 0
    assert _Google.attributes[-1].startswith("ready ")


def test_ready_is_of_this_boot(machine: Machine) -> None:
    """A machine that stops is not ready, nor is one that boots, whatever an earlier boot wrote."""
    machine.node("converge")
    machine.node("stop")
    assert _Google.attributes[-1] == "stopped"
    machine.node("converge")
    ready = _Google.attributes[-1]
    # After a power cut nothing took it back; /run is in memory, and empty after a boot.
    shutil.rmtree(machine.root / "run/logbrook")
    machine.fail("apt-get", "E: offline")
    (machine.root / "installed").write_text("")
    machine.node("converge")
    assert _Google.attributes[-3:] == [ready, "starting", "failed packages: E: offline"]


def test_the_agent_comes_from_a_signed_repository(machine: Machine) -> None:
    """No script from the network is run: apt gets Google's key and installs the package, once."""
    _programs(
        machine.root / "bin",
        curl=f'echo "curl $*" >>{machine.calls}; [[ $* != *bash* ]]; while [[ $1 != --output ]]; do shift; done; '
        'mkdir -p "$(dirname "$2")"; echo "a key" >"$2"',
        systemctl=f'[[ $* != *is-enabled* ]] || {{ grep -q "apt-get.*install" {machine.calls}; exit; }}; '
        f'echo "systemctl $*" >>{machine.calls}',
    )
    for each in ("etc/apt/sources.list.d", "etc/apt/keyrings"):
        (machine.root / each).mkdir(parents=True)
    (machine.root / "etc/os-release").write_text("VERSION_CODENAME=trixie\n")
    agent = ["bash", str(machine.root / "usr/local/sbin/logbrook-agent")]
    machine.called()
    subprocess.run(agent, env=machine.environ, check=True)
    calls = machine.called("")
    assert [each.split()[0] for each in calls] == ["curl", "apt-get", "apt-get", "systemctl"]
    assert calls[0].endswith("https://packages.cloud.google.com/apt/doc/apt-key.gpg")
    assert calls[2].endswith("--yes install google-cloud-ops-agent")
    assert (machine.root / "etc/apt/sources.list.d/google-cloud-ops-agent.list").read_text() == (
        "deb [signed-by=/etc/apt/keyrings/google-cloud.asc] "
        "https://packages.cloud.google.com/apt google-cloud-ops-agent-trixie-all main\n"
    )
    assert (machine.root / "etc/apt/keyrings/google-cloud.asc").read_text() == "a key\n"
    (machine.root / "calls").write_text("apt-get install\n")
    subprocess.run(agent, env=machine.environ, check=True)
    assert machine.called("") == ["apt-get install"]


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("iptables"), reason="needs root, and iptables")
def test_containers_do_not_reach_the_machines_credentials(machine: Machine) -> None:
    """A real firewall: each rule is there once, however often Docker starts, and above Docker's own."""
    assert (
        "ExecStartPre=/usr/bin/bash /usr/local/sbin/logbrook-node guard\n" in (render.BOOT / "docker.conf").read_text()
    )
    node = machine.root / "usr/local/sbin/logbrook-node"
    shell = (
        f"bash {node} guard; iptables -A DOCKER-USER -j RETURN; iptables -A FORWARD -j DOCKER-USER; bash {node} guard; "
        "iptables --list-rules"
    )
    done = subprocess.run(
        ["unshare", "--net", "bash", "-euc", shell], capture_output=True, text=True, check=True, env=os.environ
    )
    rules = [line for line in done.stdout.splitlines() if not line.startswith(("-P", "-N"))]
    assert rules == [
        "-A FORWARD -j DOCKER-USER",
        "-A OUTPUT -p tcp -m tcp --dport 29092 -m owner ! --uid-owner 0 -j REJECT --reject-with icmp-port-unreachable",
        "-A DOCKER-USER -d 169.254.169.254/32 -p tcp -m tcp ! --dport 53 -j REJECT --reject-with icmp-port-unreachable",
        "-A DOCKER-USER -j RETURN",
    ]


def test_systemd_tries_again_as_often_as_status_says() -> None:
    """The unit's pause is the one that `status` counts down, and it never gives up."""
    unit = (render.BOOT / "logbrook.service").read_text()
    (seconds,) = re.findall(r"(?m)^retry_seconds=(\d+)$", (render.BOOT / "node.sh").read_text())
    assert f"RestartSec={seconds}\n" in unit
    assert "Restart=on-failure\n" in unit
    assert "StartLimitIntervalSec=0\n" in unit


@pytest.mark.parametrize(
    ("break_it", "where", "what"),
    [
        (lambda machine: shutil.rmtree(machine.root / "dev"), "disks", "kafka is not attached"),
        (lambda machine: setattr(_Google, "bundle", "{}"), "fetch", "KeyError"),
        (lambda machine: machine.fail("docker", "no space left on device"), "fetch", "docker"),
        (lambda machine: machine.fail("systemctl", "mount failed"), "disks", "mount failed"),
    ],
)
def test_each_failure_has_its_step_and_reason(
    machine: Machine, break_it: Callable[[Machine], None], where: str, what: str
) -> None:
    """What went wrong is in the state, in one line, with the step that it was in."""
    break_it(machine)
    assert machine.node("converge").returncode != 0
    assert _Google.attributes[-1].startswith(f"failed {where}: ")
    assert what in _Google.attributes[-1]


def test_nothing_starts_without_the_disks(machine: Machine) -> None:
    """Data would land on the boot disk, and be gone with it."""
    machine.node("converge")
    (machine.root / "mounted-kafka").unlink()
    machine.called()
    environ = {
        **machine.environ,
        "LOGBROOK_DISKS": str(machine.root / "mnt/logbrook"),
        "LOGBROOK_FILES": str(machine.root / "opt/logbrook"),
    }
    apply = ["bash", str(machine.root / "opt/logbrook/boot/apply.sh")]
    done = subprocess.run(apply, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert machine.called("docker") == []
    assert "not mounted" in done.stderr


def test_a_deploy_changes_the_machines_own_files(machine: Machine) -> None:
    """A new daemon.json is loaded without a restart, a new node.sh reaches the watcher; others are left alone."""
    machine.node("converge")
    bundle = json.loads(_Google.bundle)
    bundle["files"]["boot/daemon.json"] += "\n"
    bundle["files"]["boot/node.sh"] += "# newer\n"
    _Google.bundle = json.dumps(bundle)
    machine.called()
    assert machine.node("converge").returncode == 0
    assert machine.called("systemctl")[:3] == [
        "systemctl daemon-reload",
        "systemctl reload docker.service",
        "systemctl restart --no-block logbrook-watch.service",
    ]
    assert (machine.root / "usr/local/sbin/logbrook-node").read_text().endswith("# newer\n")


@pytest.mark.parametrize(
    ("first", "starts"),
    [
        pytest.param("", 1, id="the start applies it"),
        pytest.param("exit 0", 2, id="the start joins a run with an earlier deploy"),
        pytest.param("exit 1", 1, id="the start fails, and systemd repeats it"),
    ],
)
def test_the_watcher_applies_each_change_once(machine: Machine, first: str, starts: int) -> None:
    """What the boot applied is not applied again; a deploy's change is, without anybody logging in."""
    machine.node("converge")
    node, started = machine.root / "usr/local/sbin/logbrook-node", machine.root / "started"
    systemctl = f"""[[ "$*" == "start logbrook.service" ]] || exit 0
        echo >>{started}; [[ $(wc -l <{started}) -gt 1 ]] || {first or ":"}; exec bash {node} converge"""
    _programs(machine.root / "bin", systemctl=systemctl)
    machine.called()
    # A session of its own: `curl` waits in it.
    with subprocess.Popen(["bash", str(node), "watch"], env=machine.environ, start_new_session=True) as watcher:
        try:
            # By then it has seen the first answer.
            until(lambda: "resize2fs" in machine.calls.read_text())
            assert not started.exists()
            _Google.bundle = _bundle(LOGBROOK_KAFKA_HEAP="777m")
            until(lambda: started.exists() and len(started.read_text()) >= starts)
            seen = machine.calls.read_text().count("resize2fs")
            until(lambda: machine.calls.read_text().count("resize2fs") >= seen + 6)
            assert len(started.read_text()) == starts
        finally:
            os.killpg(watcher.pid, signal.SIGTERM)


def test_a_disk_with_data_is_left_alone(tmp_path: Path) -> None:
    """A blank disk gets a file system; one that has something keeps it, bit for bit."""
    if not (shutil.which("mkfs.ext4") and shutil.which("wipefs")):
        pytest.skip("needs mkfs.ext4 and wipefs")
    blank, used = tmp_path / "blank", tmp_path / "used"
    for path in (blank, used):
        with path.open("wb") as file:
            file.truncate(16 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(used)], check=True)
    before = hashlib.sha256(used.read_bytes()).digest()
    program = (render.BOOT / "node.sh").read_text().replace('main "$@"', 'format "$1"')
    for path in (blank, used):
        subprocess.run(["bash", "-c", program, "node", str(path)], check=True, capture_output=True)
    assert hashlib.sha256(used.read_bytes()).digest() == before
    found = subprocess.check_output(["blkid", "-p", "-s", "TYPE", "-o", "value", str(blank)], text=True)
    assert found.strip() == "ext4"


def test_an_enlarged_disk_is_used(tmp_path: Path) -> None:
    """`resize2fs` grows the file system to the disk, and does nothing the second time."""
    if not (shutil.which("mkfs.ext4") and shutil.which("resize2fs")):
        pytest.skip("needs mkfs.ext4 and resize2fs")
    listed = tmp_path / "opt/logbrook/boot/disks"
    listed.parent.mkdir(parents=True)
    listed.write_text(render.boot_file("disks"))
    for disk in (each.name for each in DISKS):
        path = tmp_path / f"dev/disk/by-id/google-logbrook-{disk}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(16 * 2**20)
        subprocess.run(["mkfs.ext4", "-q", str(path)], check=True)
        with path.open("ab") as file:
            file.truncate(32 * 2**20)
    program = (render.BOOT / "node.sh").read_text().replace('main "$@"', "grow")
    environ = {**os.environ, "LOGBROOK_ROOT": str(tmp_path)}
    subprocess.run(["bash", "-c", program], env=environ, check=True, capture_output=True)
    shown = subprocess.check_output(["dumpe2fs", "-h", str(path)], text=True, stderr=subprocess.DEVNULL)
    figures = dict(line.split(":", 1) for line in shown.splitlines() if ":" in line)
    assert int(figures["Block count"]) * int(figures["Block size"]) == 32 * 2**20
    again = subprocess.run(["bash", "-c", program], env=environ, check=True, capture_output=True, text=True)
    assert "Nothing to do" in again.stderr


def test_logbrook_runs_against_the_nodes_stack(machine: Machine) -> None:
    """`logbrook audit --json` on the node is that command in the service's image, in the node's network."""
    machine.node("converge")
    machine.called()
    files, run = machine.root / "opt/logbrook", machine.root / "run/logbrook"
    environ = {**machine.environ, "LOGBROOK_BOOT": str(files / "boot"), "LOGBROOK_FILES": str(files)}
    environ |= {"LOGBROOK_RUN": str(run), "LOGBROOK_UID": str(os.getuid())}
    wrapper = ["bash", str(machine.root / "usr/local/bin/logbrook")]
    subprocess.run([*wrapper, "audit", "--json"], env=environ, check=True, stdin=subprocess.DEVNULL)
    assert _compose(machine.called("docker")) == ["run --rm --no-deps --quiet-pull --no-TTY logbrook audit --json"]
    (run / "secrets.env").unlink()
    done = subprocess.run([*wrapper, "audit"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "logbrook-node status" in done.stderr
