/* SPDX-License-Identifier: MIT */
/*
 * The main thread while the server runs: signals come in through a signalfd, reports of the slots
 * through a mailbox.  It waits; everything else is done by the slots on its orders.
 *
 *   SIGHUP             running -> (new configuration to all slots, all have reported) -> running
 *   SIGTERM, SIGINT    running -> asked to go -> let finish -> ended
 *   SIGUSR2            running -> (the program that is there now would start) -> asked to go, all in
 *                      one wave -> let finish -> that program is executed, with the listening sockets
 *
 * The drain: stop accepting, tell the clients, wave by wave, to reconnect elsewhere or later, wait
 * until all requests are answered, close what is left when it has taken its output, end.  All of it
 * is bounded by drain_ms; the waves take half of that, so that those who take the clients over
 * have time for each of them.
 */
#include "server/server_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/listen.h"
#include "server/notify.h"
#include "server/successor.h"

enum {
	DRAIN_POLL_MS = 20, /* between two questions how much is left */
	CHECK_POLL_MS = 20,
	RECONNECT_MIN_MS =
	    250, /* spread of the reconnects: a quarter millisecond a connection, … */
	RECONNECT_MAX_MS = 15 * 1000,
	CONNS_PER_MS = 4,
	WAVES_MAX = 16,
	CONNS_PER_WAVE = 16, /* at least: a few go at once */
	/* On a restart, connections that are answered are waited for so long at most: others wait in the
	 * listening sockets meanwhile. */
	RESTART_LINGER_MS = 2000,
};

struct control {
	struct server *server;
	bool reload_wanted;
	unsigned reload_pending; /* slots that have not taken the new configuration over yet */
	struct config *outgoing; /* owned; what they may still look at */

	bool restart_wanted;
	struct successor successor;

	bool draining, finishing, hurried;
	unsigned waves; /* in which the clients are asked to go */
	uint64_t drain_until_ms, linger_until_ms;
	unsigned reports_pending;
	size_t calls, conns; /* summed from the reports of one round */
};

static void
control_wake(void *cookie)
{
	const struct server *server = cookie;
	uint64_t one = 1;

	/* It can only fail by being full, and then the main thread wakes up all the same. */
	(void)!write(server->control_fd, &one, sizeof(one));
}

static void
signals_of_control(sigset_t *ret_set)
{
	(void)sigemptyset(ret_set);
	(void)sigaddset(ret_set, SIGTERM);
	(void)sigaddset(ret_set, SIGINT);
	(void)sigaddset(ret_set, SIGHUP);
	(void)sigaddset(ret_set, SIGUSR2);
}

int
control_init(struct server *server)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a full disk */
	signals_of_control(&set);
	mailbox_init(&server->control, control_wake, server);
	server->control_fd = server->signal_fd = -1;
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	server->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return server->control_fd < 0 || server->signal_fd < 0 ? -1 : 0;
}

void
control_fini(struct server *server)
{
	struct mail *mail = mail_take(&server->control);

	while (mail != NULL) {
		struct mail *next = mail->next;

		mem_free(container_of(mail, struct report, mail));
		mail = next;
	}
	if (server->control_fd >= 0)
		(void)close(server->control_fd);
	if (server->signal_fd >= 0)
		(void)close(server->signal_fd);
}

static void
order_all(struct server *server, const struct order *order)
{
	for (unsigned i = 0; i < server->slot_count; i++)
		slot_order(&server->slots[i], order);
}

/* --- Reload --- */

/* Each line of a text as one event. */
static void
log_lines(const char *module, enum log_level level, const char *event, const struct buf *text)
{
	slice rest = buf_slice(text);
	char quoted[512];

	while (rest.len > 0) {
		const char *end = memchr(rest.ptr, '\n', rest.len);
		size_t len = end != NULL ? (size_t)(end - rest.ptr) : rest.len;

		log_event(level, module, event, "why=%s",
		    log_text(slice_of(rest.ptr, len), quoted, sizeof(quoted)));
		len += end != NULL;
		rest = slice_of(rest.ptr + len, rest.len - len);
	}
}

static void
reload_take(struct control *c, struct config *config)
{
	struct server *server = c->server;
	struct buf keys = {0};

	config_restart_needed(server->started, config, &keys);
	if (buf_len(&keys) > 0)
		log_warn("config", "restart_needed", "keys=\"%.*s\"", SLICE_ARG(buf_slice(&keys)));
	buf_fini(&keys);
	c->outgoing = server->config != server->started ? server->config : NULL;
	server->config = config;
	c->reload_pending = server->slot_count;
	listener_set_max(server_max_connections(server));
	order_all(server, &(struct order){.kind = ORDER_CONFIG});
}

/* Certificates are renewed in place: the files are read again whenever the configuration is. */
static bool
reload_tls(struct server *server)
{
	const struct config *started = server->started;
	char why[512], quoted[600];

	if (server->tls == NULL || tls_context_reload(server->tls, started->tls_cert,
				       started->tls_key, why, sizeof(why)) == 0)
		return true;
	log_error(
	    "config", "reload_refused", "why=%s", log_text(slice_str(why), quoted, sizeof(quoted)));
	return false;
}

static void
reload(struct control *c)
{
	struct buf errors = {0}, warnings = {0};
	struct config *config = NULL;
	char state[64];

	(void)snprintf(
	    state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns() / 1000);
	notify_send(state);
	c->reload_wanted = false;
	if (config_load(c->server->sources, &config, &errors, &warnings) < 0 ||
	    !reload_tls(c->server)) {
		log_lines("config", LOG_ERROR, "reload_refused", &errors);
		config_destroy(&config);
		log_reopen((enum log_level)c->server->config->log_level);
		notify_send("READY=1");
	} else {
		log_lines("config", LOG_WARN, "doubtful", &warnings);
		log_reopen((enum log_level)config->log_level);
		reload_take(c, config);
	}
	buf_fini(&errors);
	buf_fini(&warnings);
}

static void
reload_reported(struct control *c)
{
	if (--c->reload_pending > 0)
		return;
	config_destroy(&c->outgoing);
	log_info("config", "reloaded", "file=%s",
	    c->server->config->file != NULL ? c->server->config->file : "-");
	notify_send("READY=1");
}

/* --- Drain --- */

static unsigned
connections(const struct server *server)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < server->slot_count; i++)
		sum += reactor_conn_count(server->reactors[i]);
	return sum;
}

static uint32_t
clamp(uint32_t value, uint32_t least, uint32_t most)
{
	return value < least ? least : value > most ? most : value;
}

static void
drain_begin(struct control *c)
{
	struct server *server = c->server;
	uint64_t now_ms = clock_mono_ms();

	c->draining = true;
	c->drain_until_ms = c->linger_until_ms = now_ms + server->config->drain_ms;
	if (server->restarting && server->config->drain_ms > RESTART_LINGER_MS)
		c->linger_until_ms = now_ms + RESTART_LINGER_MS;
	/* A restart takes a moment in which nobody is served: the sooner it is over the better.  The
	 * clients come back spread all the same. */
	c->waves =
	    server->restarting ? 1 : clamp(connections(server) / CONNS_PER_WAVE, 1, WAVES_MAX);
	log_info("server", "draining", "restart=%s drain_ms=%" PRIu64 " connections=%u waves=%u",
	    server->restarting ? "yes" : "no", server->config->drain_ms, connections(server),
	    c->waves);
	/* Who connects now waits for the program that follows; or else is refused at once, and passed
	 * to another node by what is before us. */
	slot_order(&server->slots[0],
	    &(struct order){.kind = server->restarting ? ORDER_UNLISTEN : ORDER_UNBIND});
}

static void
asked_to_end(struct control *c, unsigned signo)
{
	struct server *server = c->server;

	if (c->draining && !server->restarting) {
		log_warn("server", "hurried", "signal=%u", signo);
		c->hurried = true;
		return;
	}
	log_info("server", "ending", "signal=%u", signo);
	notify_send("STOPPING=1");
	successor_fini(&c->successor);
	c->restart_wanted = false;
	if (!c->draining) {
		drain_begin(c);
		return;
	}
	server->restarting = false;
	slot_order(&server->slots[0], &(struct order){.kind = ORDER_UNBIND});
}

static void
drain_reported(struct control *c, const struct report *report)
{
	c->calls += report->calls;
	c->conns += report->conns;
	c->reports_pending--;
}

/* Asks the slots for a round of reports. */
static void
drain_ask(struct control *c)
{
	c->calls = c->conns = 0;
	c->reports_pending = c->server->slot_count;
	order_all(c->server, &(struct order){.kind = ORDER_REPORT});
}

/* One step, with all reports of a round in or none asked for yet; true when it is over. */
static bool
drain_step(struct control *c, bool first)
{
	uint64_t until_ms = !first && c->calls == 0 ? c->linger_until_ms : c->drain_until_ms;
	bool late = c->hurried || clock_mono_ms() >= until_ms;

	if (!first && c->calls == 0 && c->conns == 0)
		return true;
	if (late) {
		log_warn("server", "drain_cut", "requests=%zu connections=%zu", c->calls, c->conns);
		return true;
	}
	if (!first && c->calls == 0 && !c->finishing) {
		c->finishing = true;
		order_all(c->server, &(struct order){.kind = ORDER_FINISH});
	}
	drain_ask(c);
	return false;
}

/* --- Restart --- */

static void
restart_refused(struct control *c)
{
	log_lines("server", LOG_ERROR, "restart_refused", &c->successor.said);
	successor_fini(&c->successor);
}

/* The program that is to follow is asked first; meanwhile everything goes on. */
static void
restart_check(struct control *c)
{
	const struct server *server = c->server;
	struct handover sockets = {0};

	c->restart_wanted = false;
	log_info("server", "restart_check", "program=%s", server->program);
	if (listen_hand_over(server, &sockets) < 0) {
		buf_printf(&c->successor.said, "no descriptors are left: %s", strerror(errno));
		restart_refused(c);
	} else if (successor_check(&c->successor, server->program, server->sources->argc,
		       server->sources->argv, &sockets) < 0) {
		restart_refused(c);
	}
	handover_close(&sockets);
}

static void
restart_step(struct control *c)
{
	char state[64];

	switch (successor_poll(&c->successor)) {
	case SUCCESSOR_CHECKING:
		return;
	case SUCCESSOR_BAD:
		restart_refused(c);
		return;
	case SUCCESSOR_GOOD:
		break;
	}
	(void)snprintf(
	    state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns() / 1000);
	notify_send(state);
	successor_fini(&c->successor);
	c->server->restarting = true;
	drain_begin(c);
}

/* --- The loop --- */

static void
take_signals(struct control *c)
{
	struct signalfd_siginfo info;

	while (read(c->server->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			c->reload_wanted = true;
		else if (info.ssi_signo == SIGUSR2)
			c->restart_wanted = !c->draining;
		else
			asked_to_end(c, info.ssi_signo);
	}
}

static void
take_reports(struct control *c)
{
	uint64_t count;

	(void)!read(c->server->control_fd, &count, sizeof(count));
	for (struct mail *mail = mail_take(&c->server->control), *next; mail != NULL; mail = next) {
		struct report *report = container_of(mail, struct report, mail);

		next = mail->next;
		if (report->about == ORDER_CONFIG)
			reload_reported(c);
		else
			drain_reported(c, report);
		mem_free(report);
	}
}

static void
control_wait(struct control *c, int timeout_ms)
{
	struct pollfd fds[] = {
	    {.fd = c->server->signal_fd, .events = POLLIN},
	    {.fd = c->server->control_fd, .events = POLLIN},
	};

	(void)poll(fds, LEN(fds), timeout_ms);
	take_signals(c);
	take_reports(c);
}

static void
wait_until(struct control *c, uint64_t until_ms)
{
	uint64_t now_ms;

	while (!c->hurried && (now_ms = clock_mono_ms()) < until_ms)
		control_wait(c, (int)(until_ms - now_ms));
}

/* Ends early where nobody is left. */
static void
drain_waves(struct control *c)
{
	struct server *server = c->server;
	uint64_t step_ms = server->config->drain_ms / 2 / WAVES_MAX;
	uint64_t next_ms = clock_mono_ms();
	struct order order = {.kind = ORDER_GOAWAY,
	    .waves = c->waves,
	    .reconnect_ms =
		clamp(connections(server) / CONNS_PER_MS, RECONNECT_MIN_MS, RECONNECT_MAX_MS)};

	for (order.wave = 0; order.wave < c->waves && !c->hurried; order.wave++) {
		if (order.wave > 0 && connections(server) == 0)
			return;
		order_all(server, &order);
		next_ms += step_ms;
		if (order.wave + 1 < c->waves)
			wait_until(c, next_ms);
	}
}

static void
drain(struct control *c)
{
	uint64_t next_ms;
	bool first = true;

	drain_waves(c);
	while (!drain_step(c, first)) {
		first = false;
		while (c->reports_pending > 0)
			control_wait(c, -1);
		next_ms = clock_mono_ms() + DRAIN_POLL_MS;
		while (c->calls + c->conns > 0 && !c->hurried && clock_mono_ms() < next_ms)
			control_wait(c, DRAIN_POLL_MS);
	}
}

void
control_run(struct server *server)
{
	struct control c = {.server = server};

	while (!c.draining) {
		control_wait(&c, c.successor.pid > 0 ? CHECK_POLL_MS : -1);
		if (c.reload_wanted && c.reload_pending == 0 && !c.draining)
			reload(&c);
		if (c.restart_wanted && c.reload_pending == 0 && c.successor.pid == 0)
			restart_check(&c);
		if (c.successor.pid > 0)
			restart_step(&c);
	}
	drain(&c);
	while (c.reload_pending > 0)
		control_wait(&c, -1);
}
