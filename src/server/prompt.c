/* SPDX-License-Identifier: MIT */
#include "server/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include "base/slice.h"

static volatile sig_atomic_t interrupted;

static void
on_signal(int signo)
{
	interrupted = signo;
}

/* Bytes up to a line's end.  0, or -1 with errno: EMSGSIZE where it is too long, EINTR, or of
 * read(). */
static int
read_line(int fd, char ret_text[PROMPT_MAX_BYTES + 1])
{
	size_t len = 0;
	ssize_t n;
	char byte;

	while ((n = read(fd, &byte, 1)) == 1 && byte != '\n') {
		if (len == PROMPT_MAX_BYTES) {
			errno = EMSGSIZE;
			return -1;
		}
		ret_text[len++] = byte;
	}
	if (n < 0)
		return -1;
	if (len > 0 && ret_text[len - 1] == '\r')
		len--;
	ret_text[len] = '\0';
	if (strlen(ret_text) == len)
		return 0;
	errno = EILSEQ;
	return -1;
}

static int
complain(int err, char *ret_error, size_t error_size)
{
	if (err == EMSGSIZE)
		(void)snprintf(ret_error, error_size, "the password is longer than %d bytes",
		    PROMPT_MAX_BYTES);
	else if (err == EILSEQ)
		(void)snprintf(ret_error, error_size, "the password has a zero byte");
	else
		(void)snprintf(
		    ret_error, error_size, "cannot read the password: %s", strerror(err));
	return -1;
}

static int
ask(int fd, const char *question, char ret_text[PROMPT_MAX_BYTES + 1])
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction catch = {.sa_handler = on_signal}, before[LEN(signals)];
	struct termios shown, hidden;
	int rc, err;

	if (tcgetattr(fd, &shown) < 0)
		return -1;
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	hidden.c_lflag |= ECHONL;
	interrupted = 0;
	for (size_t i = 0; i < LEN(signals); i++)
		(void)sigaction(signals[i], &catch, &before[i]);
	(void)!write(fd, question, strlen(question));
	(void)tcsetattr(fd, TCSAFLUSH, &hidden);
	rc = read_line(fd, ret_text);
	err = errno;
	(void)tcsetattr(fd, TCSAFLUSH, &shown);
	for (size_t i = 0; i < LEN(signals); i++)
		(void)sigaction(signals[i], &before[i], NULL);
	if (interrupted != 0) {
		(void)!write(fd, "\n", 1);
		(void)raise(interrupted);
	}
	errno = err;
	return rc;
}

int
prompt_password(
    const char *question, char ret_text[PROMPT_MAX_BYTES + 1], char *ret_error, size_t error_size)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), rc, err;

	if (fd < 0) {
		(void)snprintf(ret_error, error_size,
		    "there is no terminal to ask for the password on; give it with "
		    "--password-stdin");
		return -1;
	}
	rc = ask(fd, question, ret_text);
	err = errno;
	(void)close(fd);
	return rc < 0 ? complain(err, ret_error, error_size) : 0;
}

int
prompt_stdin(char ret_text[PROMPT_MAX_BYTES + 1], char *ret_error, size_t error_size)
{
	return read_line(STDIN_FILENO, ret_text) < 0 ? complain(errno, ret_error, error_size) : 0;
}
