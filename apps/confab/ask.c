/* SPDX-License-Identifier: MIT */
#include "ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "app.h"

enum { ANSWER_MAX = 1100 };

bool
ask_possible(void)
{
	return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
}

/* Reads to the end of the line; longer answers are cut.  false: no line came. */
static bool
read_answer(int fd, struct buf *ret_answer)
{
	bool any = false;
	char c;

	for (;;) {
		ssize_t n = read(fd, &c, 1);

		if (n < 0 && errno == EINTR && app_signal() == 0)
			continue;
		if (n <= 0)
			return n == 0 && any;
		any = true;
		if (c == '\n')
			return true;
		if (buf_len(ret_answer) < ANSWER_MAX)
			buf_append(ret_answer, &c, 1);
	}
}

bool
ask_line(const char *question, struct buf *ret_answer)
{
	(void)fputs(question, stdout);
	(void)fflush(stdout);
	return read_answer(STDIN_FILENO, ret_answer);
}

bool
ask_secret(const char *question, struct buf *ret_answer)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	struct termios shown, hidden;
	bool answered = false;

	if (fd < 0)
		return false;
	if (tcgetattr(fd, &shown) == 0) {
		hidden = shown;
		hidden.c_lflag &= (tcflag_t)~ECHO;
		hidden.c_lflag |= ICANON | ECHONL;
		(void)tcsetattr(fd, TCSAFLUSH, &hidden);
		(void)!write(fd, question, strlen(question));
		/* A signal ends the read (no SA_RESTART), so that the terminal is itself again. */
		answered = read_answer(fd, ret_answer);
		(void)tcsetattr(fd, TCSAFLUSH, &shown);
	}
	(void)close(fd);
	return answered;
}

void
ask_forget(struct buf *secret)
{
	if (secret->bytes != NULL)
		explicit_bzero(secret->bytes, secret->capacity);
	buf_fini(secret);
}
