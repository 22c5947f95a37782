"""`docker run -it`, with a terminal on which the cases type."""
from .container import TerminalContainer
from .docker_shop import EXEC_AND_SUPERVISED

CTRL_C, DETACH = b"\x03", b"\x10\x11"


def run(report, shop):
    for mode in EXEC_AND_SUPERVISED:
        keys(report, shop, mode)
        detach(report, shop, mode)
    no_handler(report, shop)


def keys(report, shop, mode):
    with report.case(f"{mode}: Ctrl-C on the terminal reaches the command once"):
        with shop.start(mode, ["/server"], kind=TerminalContainer) as container:
            container.ready()
            container.type(CTRL_C)
            assert wait_for_signal(container) == "^Csignal 2"
            container.stop()
            lines, status = container.end()
            assert "signal 2" not in lines and (lines[-1], status) == ("signal 15", 0), lines


def wait_for_signal(container):
    """Returns the line of the next signal. The client may still announce the size of its window."""
    return next(line for line in iter(container.line, None) if line != "signal 28")


def detach(report, shop, mode):
    with report.case(f"{mode}: Ctrl-P Ctrl-Q detaches, and the command goes on with its terminal"):
        with shop.start(mode, ["/server"], kind=TerminalContainer) as container:
            container.ready()
            container.type(DETACH)
            lines, status = container.end()
            assert status == 0 and container.inspect("{{.State.Running}}") == "true", lines
            container.signal("USR1")
            container.stop()
            container.engine.docker("wait", container.name)
            assert container.logs()[-2:] == ["signal 10", "signal 15"]


def no_handler(report, shop):
    with report.case("supervised: Ctrl-C ends a command without a handler (130)"):
        with shop.start("supervised", ["/inspector", "sleep"], kind=TerminalContainer) as container:
            container.ready()
            container.type(CTRL_C)
            container.check_end(["^C"], 130)
    with report.case("exec: Ctrl-C does nothing to a command without a handler, and `docker kill` ends it"):
        with shop.start("exec", ["/inspector", "sleep"], kind=TerminalContainer) as container:
            container.ready()
            container.type(CTRL_C + b"\r")
            # The terminal has shown the key, so it has also sent the signal.
            assert container.line() == "^C"
            assert container.inspect("{{.State.Running}}") == "true"
            container.signal("KILL")
            assert container.end()[1] == 137
