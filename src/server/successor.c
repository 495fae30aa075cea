/* SPDX-License-Identifier: MIT */
#include "server/successor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"

enum { LIMIT_SAID_BYTES = 4096, EXIT_CANNOT_RUN = 127 };

/* In the child of a process with threads: only what is safe in a signal handler. */
static void
become_check(int out, const char *program, char *const *argv, const struct handover *handover,
    const struct handover_env *env)
{
	const char *why;
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0)
		handover_exec(handover, env, program, argv);
	why = strerrordesc_np(errno);
	(void)!write(STDERR_FILENO, "cannot be executed: ", 20);
	(void)!write(STDERR_FILENO, why, strlen(why));
	_exit(EXIT_CANNOT_RUN);
}

int
successor_check(struct successor *successor, const char *program, int argc, char *const *argv,
    const struct handover *handover)
{
	static char check[] = "--check";
	struct handover_env env;
	char **words;
	int ends[2];

	assert(successor->pid == 0 && argc > 0);
	buf_clear(&successor->said);
	if (pipe2(ends, O_CLOEXEC) < 0) {
		buf_printf(&successor->said, "cannot make a pipe: %s", strerror(errno));
		return -1;
	}
	words = mem_zalloc(((size_t)argc + 2) * sizeof(words[0]));
	words[0] = argv[0];
	words[1] = check;
	for (int i = 1; i < argc; i++)
		words[i + 1] = argv[i];
	handover_env_init(&env, handover);
	successor->pid = fork();
	if (successor->pid == 0)
		become_check(ends[1], program, words, handover, &env);
	if (successor->pid < 0)
		buf_printf(&successor->said, "cannot make a process: %s", strerror(errno));
	handover_env_fini(&env);
	mem_free(words);
	(void)close(ends[1]);
	if (successor->pid < 0) {
		(void)close(ends[0]);
		successor->pid = 0;
		return -1;
	}
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	successor->fd = ends[0];
	successor->until_ms = clock_mono_ms() + SUCCESSOR_CHECK_MS;
	return 0;
}

/* What it says is taken in always, or it would wait for us; the first of it is kept. */
static void
take_in(struct successor *successor)
{
	char room[1024];
	ssize_t n;

	while ((n = read(successor->fd, room, sizeof(room))) > 0) {
		size_t left = LIMIT_SAID_BYTES - buf_len(&successor->said);

		buf_append(&successor->said, room, (size_t)n < left ? (size_t)n : left);
	}
}

static void
reaped(struct successor *successor)
{
	take_in(successor);
	(void)close(successor->fd);
	successor->pid = 0;
}

enum successor_verdict
successor_poll(struct successor *successor)
{
	int status = 0;
	pid_t got;

	assert(successor->pid > 0);
	take_in(successor);
	got = waitpid(successor->pid, &status, WNOHANG);
	if (got == 0 && clock_mono_ms() < successor->until_ms)
		return SUCCESSOR_CHECKING;
	if (got == 0) {
		successor_fini(successor);
		buf_printf(
		    &successor->said, "--check did not end within %d s", SUCCESSOR_CHECK_MS / 1000);
		return SUCCESSOR_BAD;
	}
	reaped(successor);
	if (got > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return SUCCESSOR_GOOD;
	if (got > 0 && WIFSIGNALED(status))
		buf_printf(&successor->said, "--check was ended by signal %d", WTERMSIG(status));
	else if (buf_len(&successor->said) == 0)
		buf_printf(&successor->said, "--check failed");
	return SUCCESSOR_BAD;
}

void
successor_fini(struct successor *successor)
{
	if (successor->pid > 0) {
		(void)kill(successor->pid, SIGKILL);
		(void)waitpid(successor->pid, NULL, 0);
		reaped(successor);
	}
	buf_fini(&successor->said);
}
