"""Faults of the kernel's answers, by strace, and of the disk, by small mounts."""

import contextlib
import pathlib
import signal
import subprocess

from lib.server import wait_for


def traced(pid):
    """The threads of a process that have a tracer, and all of them."""
    tasks = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
    with_tracer = 0
    for task in tasks:
        with contextlib.suppress(OSError):
            with_tracer += "TracerPid:\t0\n" not in (task / "status").read_text()
    return with_tracer, len(tasks)


@contextlib.contextmanager
def injected(server, calls, what, path=None, log=None):
    """While it lasts, these system calls of the server answer what is injected, e.g. "error=EIO:when=1+"."""
    log = log or server.home / "strace.log"
    command = ["strace", "-f", "-q", "-o", str(log), "-p", str(server.pid), "-e", f"trace={calls}", "-e", f"inject={calls}:{what}"]
    for one in [path] if isinstance(path, (str, pathlib.Path)) else path or []:
        command += ["-P", str(one)]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        def attached():
            assert tracer.poll() is None, tracer.stderr.read().decode()
            done, all_ = traced(server.pid)
            return done == all_

        wait_for(attached, 20, "strace to be attached")
        yield log
    finally:
        if tracer.poll() is None:
            tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
        tracer.stderr.close()
        if server.alive:
            wait_for(lambda: traced(server.pid)[0] == 0, 10, "strace to be gone")


def injections(log):
    return sum("(INJECTED)" in line for line in log.read_text().splitlines()) if log.exists() else 0


@contextlib.contextmanager
def small_disk(directory, size):
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def fill(directory):
    """A file that takes all that is left; gives its path."""
    ballast = directory / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        size = 1 << 20
        while size >= 1:
            try:
                if file.write(b"x" * size) < size:
                    size //= 2
            except OSError:
                size //= 2
    return ballast
