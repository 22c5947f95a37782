"""Counts the round trips of a start: `scripts/bench --round-trips`.

Between the client and the fake Phase is a proxy that delays every byte by half a round trip, and the
first byte of a connection by one more, for the TCP handshake. The count is the time that the delay adds,
in round trips. Phase Cloud has two hosts, which are mapped to loopback in a mount namespace: for these
rows the script has to run as root.
"""
import asyncio
import os
import statistics
import subprocess
import threading
import time

ROUND_TRIP = 0.1
RUNS = 5
CONSOLE, API = "console.phase.dev", "api.phase.dev"


class Proxy:
    """Forwards connections to a port, each byte delayed by half of `round_trip` seconds."""

    def __init__(self, address, to_port):
        self.address, self.to_port, self.round_trip = address, to_port, 0.0
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self.serve, args=[started], daemon=True).start()
        started.wait()

    def serve(self, started):
        asyncio.set_event_loop(self.loop)
        listening = asyncio.start_server(self.connect, *self.address)
        server = self.loop.run_until_complete(listening)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def connect(self, reader, writer):
        round_trip = self.round_trip
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        await asyncio.sleep(round_trip)
        ways = (reader, onward_writer), (onward_reader, writer)
        await asyncio.gather(*(self.forward(source, sink, round_trip / 2) for source, sink in ways))

    async def forward(self, source, sink, delay):
        queue = asyncio.Queue()

        async def deliver():
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0, due - time.monotonic()))
                if not data:
                    sink.close()
                    return
                sink.write(data)

        delivering = asyncio.ensure_future(deliver())
        try:
            while data := await source.read(65536):
                queue.put_nowait((time.monotonic() + delay, data))
        except ConnectionError:
            pass
        queue.put_nowait((time.monotonic() + delay, b""))
        await delivering


def start_phase(fake_phase, certificate):
    """Starts the fake Phase. Returns the process and what it prints about itself."""
    server = subprocess.Popen([fake_phase, "--certificate", certificate], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return server, dict(line.strip().split("=", 1) for line in iter(server.stdout.readline, "ready\n"))


def count(command, environment, proxy):
    """Returns how many round trips a command needs."""

    def seconds(round_trip):
        proxy.round_trip = round_trip
        times = []
        for _ in range(RUNS):
            start = time.monotonic()
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            times.append(time.monotonic() - start)
        return statistics.median(times)

    return (seconds(ROUND_TRIP) - seconds(0.0)) / ROUND_TRIP


def measure(phase_run, fake_phase, official, folder):
    """Prints the table. `official` is the path of Phase's CLI, or None."""
    print("| start | hosts | round trips |\n| --- | --- | ---: |")
    for hosts in (1, 2) if os.geteuid() == 0 else (1,):
        server, said = start_phase(fake_phase, "good" if hosts == 1 else "phase-cloud")
        try:
            on_cloud = hosts == 2
            port = int(said["PHASE_HOST"].rsplit(":", 1)[1])
            proxy = Proxy(("127.86.0.1", 443) if on_cloud else ("127.0.0.1", 0), port)
            console = f"https://{CONSOLE}" if on_cloud else f"https://localhost:{proxy.port}"
            rest = f"https://{API}/v1" if on_cloud else f"{console}/service/public/v1"
            (folder / "hosts").write_text(f"127.86.0.1 {CONSOLE} {API}\n127.0.0.1 localhost\n")
            mapped = ["unshare", "--mount", "sh", "-c", f'mount --bind {folder}/hosts /etc/hosts && exec "$@"', "sh"] if on_cloud else []
            token, ca = said["PHASE_SERVICE_TOKEN"], said["PHASE_CA_FILE"]
            environment = {
                "PATH": os.environ["PATH"], "HOME": str(folder), "PHASE_HOST": console, "PHASE_CA_FILE": ca,
                "REQUESTS_CA_BUNDLE": ca, "PHASE_SERVICE_TOKEN": token,
            }
            url = f"{rest}/secrets/?app_id={said['APP_ID']}&env=development"
            bearer = f"Authorization: Bearer ServiceAccount {token.split(':')[2]}"
            start = lambda app, *options: [phase_run, "--app", app, "--env", "Development", "--path", "/", *options, "--", "true"]
            commands = {
                "curl, the URL of the secrets": ["curl", "-s", "--fail", "-o", "/dev/null", "--cacert", ca, "-H", bearer, url],
                "phase-run, an app's ID": start(said["APP_ID"]),
                "phase-run, an app's name": start("shop"),
                "phase-run, the ID of an end-to-end encrypted app": start(said["E2EE_APP_ID"]),
                "the same with `--mode e2ee`": start(said["E2EE_APP_ID"], "--mode", "e2ee"),
                "phase-run, the name of an end-to-end encrypted app": start("shop-e2ee"),
            }
            if official:
                commands["phase-cli 1.21.3, an app's name"] = [official, "run", "--app", "shop", "--env", "Development", "true"]
            for name, command in commands.items():
                print(f"| {name} | {hosts} | {count([*mapped, *command], environment, proxy):.1f} |", flush=True)
        finally:
            server.communicate()
