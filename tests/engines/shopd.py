#!/usr/bin/python3
"""A server that uses what systemd offers, through libsystemd. It runs as /usr/bin/shopd in the container.

It prints what it finds at its start, and then what happens to it. Over the socket that systemd passes,
it sends what it finds to each client. It never prints a value. HUP is a reload. USR1 stops the pings
for the watchdog, as if the server hung. TERM stops it, and its worker.
"""
import ctypes
import hashlib
import json
import os
import select
import signal
import socket
import sys

libsystemd = ctypes.CDLL("libsystemd.so.0")
FIRST_DESCRIPTOR = 3


def notify(state):
    libsystemd.sd_notify(0, state.encode())


def say(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


def readable(path):
    try:
        with open(path, "rb"):
            return True
    except OSError:
        return False


def facts(watchdog, sockets):
    """Returns what a test wants to know about this process."""
    value = os.environ.get("SECRET", "").encode(errors="surrogateescape")
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "user": os.getuid(),
        "secret": hashlib.sha256(value).hexdigest(),
        "has_token": "PHASE_SERVICE_TOKEN" in os.environ,
        "reads_credential": readable(os.environ.get("CREDENTIALS_DIRECTORY", "") + "/phase"),
        "reads_key_file": readable(os.environ.get("KEY_FILE", "")),
        "watchdog": watchdog,
        "sockets": sockets,
    }


def start_worker():
    """Starts a child that ends when it is told to stop, or with the server."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.pause()
        say("worker stops")
        os._exit(0)
    return child


def main():
    worker = start_worker()
    signals, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    usec = ctypes.c_uint64(0)
    pings = libsystemd.sd_watchdog_enabled(0, ctypes.byref(usec)) > 0
    count = max(libsystemd.sd_listen_fds(0), 0)
    listeners = [socket.socket(fileno=FIRST_DESCRIPTOR + number) for number in range(count)]
    found = facts(usec.value if pings else 0, count)
    say("started", **found)
    notify("READY=1")
    stops = 0
    while True:
        # A stop takes a moment, in which further stop signals are counted.
        pause = 0.3 if stops else usec.value / 2e6 if pings else None
        ready, _, _ = select.select([signals, *listeners], [], [], pause)
        if stops and not ready:
            break
        if pings and not ready:
            notify("WATCHDOG=1")
        for source in ready:
            if source is not signals:
                client, _ = source.accept()
                with client:
                    client.sendall(json.dumps(found).encode())
                continue
            for number in os.read(signals, 100):
                if number == signal.SIGTERM:
                    stops += 1
                    notify("STOPPING=1")
                elif number == signal.SIGUSR1:
                    pings = False
                    say("hangs")
                else:
                    notify("RELOADING=1")
                    say("reloaded")
                    notify("READY=1")
    say("stopped", stops=stops)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)


sys.exit(main())
