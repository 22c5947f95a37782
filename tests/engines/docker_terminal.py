"""`docker run -it`, on a terminal whose keys the cases press."""
from .container import TerminalContainer
from .docker_shop import EXEC_AND_SUPERVISED
from .terminal import CTRL_C

DETACH = "\x10\x11"


def run(report, shop):
    for mode in EXEC_AND_SUPERVISED:
        keys(report, shop, mode)
        detach(report, shop, mode)
    no_handler(report, shop)


def start(shop, mode, command):
    """Starts a container, waits until the command is ready, and returns the container and its terminal."""
    container = shop.start(mode, command, kind=TerminalContainer)
    container.terminal.until("ready ")
    return container, container.terminal


def keys(report, shop, mode):
    with report.case(f"{mode}: Ctrl-C on the terminal reaches the command once"):
        container, terminal = start(shop, mode, ["/server"])
        with container:
            terminal.press(CTRL_C)
            terminal.until("signal 2\r\n")
            container.stop()
            assert terminal.wait() == 0
            assert terminal.screen.count("signal 2\r\n") == 1 and terminal.screen.endswith("signal 15\r\n"), terminal.screen


def detach(report, shop, mode):
    with report.case(f"{mode}: Ctrl-P Ctrl-Q detaches, and the command goes on with its terminal"):
        container, terminal = start(shop, mode, ["/server"])
        with container:
            terminal.press(DETACH)
            assert terminal.wait() == 0 and container.inspect("{{.State.Running}}") == "true", terminal.screen
            container.signal("USR1")
            container.stop()
            shop.engine.docker("wait", container.name)
            assert container.logs()[-2:] == ["signal 10", "signal 15"]


def no_handler(report, shop):
    with report.case("supervised: Ctrl-C ends a command without a handler (130)"):
        container, terminal = start(shop, "supervised", ["/inspector", "sleep"])
        with container:
            terminal.press(CTRL_C)
            assert terminal.wait() == 130
    with report.case("exec: Ctrl-C does nothing to a command without a handler, and `docker kill` ends it"):
        container, terminal = start(shop, "exec", ["/inspector", "sleep"])
        with container:
            terminal.press(CTRL_C)
            # The terminal has shown the key, so it has also sent the signal.
            terminal.until("^C")
            assert container.inspect("{{.State.Running}}") == "true"
            container.signal("KILL")
            assert terminal.wait() == 137
