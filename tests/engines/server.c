/* The server in the images of the cases, whatever its name and arguments are. Prints `ready PID`, then
   each signal that it gets, and ends with status 0 after TERM or QUIT. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t got[65];

static void count(int signal) {
	got[signal]++;
}

int main(void) {
	struct sigaction action = { .sa_handler = count };
	sigset_t all, none;
	sigfillset(&all);
	sigemptyset(&none);
	/* Signals arrive only while the server waits. */
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (int signal = 1; signal <= SIGRTMAX; signal++)
		if (signal != SIGCHLD)
			sigaction(signal, &action, NULL);
	dprintf(1, "ready %d\n", getpid());
	for (;;) {
		sigsuspend(&none);
		for (int signal = 1; signal <= SIGRTMAX; signal++)
			for (; got[signal] > 0; got[signal]--) {
				dprintf(1, "signal %d\n", signal);
				if (signal == SIGTERM || signal == SIGQUIT)
					return 0;
			}
	}
}
