"""The program of a service: reports to a FIFO that it is ready, the signals that it gets, and its end."""
import os
import signal
import sys

CRASH = signal.SIGUSR1
CRASH_STATUS = 3
HANDLED = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCONT, signal.SIGUSR2, CRASH]


def serve(fifo):
    """Reports to the FIFO until a signal ends it: gracefully with 0, or with CRASH_STATUS after CRASH."""
    out = os.open(fifo, os.O_WRONLY)
    # A blocked signal is queued even if it is ignored, so the ignored ones stay unblocked.
    wanted = [number for number in HANDLED if signal.getsignal(number) != signal.SIG_IGN]
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    os.write(out, f"ready {os.getpid()}\n".encode())
    while True:
        number = signal.sigwaitinfo(wanted).si_signo
        os.write(out, f"signal {signal.Signals(number).name}\n".encode())
        if number == CRASH:
            return CRASH_STATUS
        if number not in (signal.SIGCONT, signal.SIGUSR2):
            os.write(out, b"stopped\n")
            return 0


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1]))
