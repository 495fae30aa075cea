/* SPDX-License-Identifier: MIT */
/*
 * The bare log in MariaDB: rows of confabd's own table, as a batch of its has them, and nothing else.
 *
 *   floor_insert SOCKET DATABASE CONNECTIONS ROWS PID
 *
 * Each connection has a thread, which INSERTs 100 rows of 200 bytes at a time by a prepared statement that commits by
 * itself, spread over 64 conversations.  The tables must be there; the rows that another run left are taken away.  Prints
 * what a row cost the database, which is process PID, and this process, from the moment that all are connected.
 */
#include <mysql.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"

enum {
	BODY_BYTES = 200,
	CMID_BYTES = 32,
	BATCH = 100,
	COLUMNS = 9,
	CONVS = 64,
	CONNECTIONS_MAX = 64
};

static const char *socket_path, *database;
static long connections, batches; /* batches: of each connection */
static pthread_barrier_t barrier;
static char body[BODY_BYTES];

/* What the rows of a statement are bound to. */
struct row {
	long long cid, seq, sender, ts, re;
	char cmid[CMID_BYTES];
	unsigned long cmid_len;
};

struct worker {
	pthread_t thread;
	long index;
	MYSQL *mysql;
	MYSQL_STMT *insert;
	MYSQL_BIND params[BATCH * COLUMNS];
	struct row rows[BATCH];
	long long seqs[CONVS];
};

static double
process_cpu_s(pid_t pid)
{
	struct timespec spent;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &spent) != 0)
		panic("no process %ld", (long)pid);
	return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

/* --- A connection --- */

static MYSQL *
connect_to(void)
{
	unsigned protocol = MYSQL_PROTOCOL_SOCKET;
	MYSQL *mysql = mysql_init(NULL);

	(void)mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
	(void)mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (mysql_real_connect(mysql, "localhost", "root", "", database, 0, socket_path, 0) == NULL)
		panic("%s: %s", socket_path, mysql_error(mysql));
	return mysql;
}

static void
query(MYSQL *mysql, const char *sql)
{
	if (mysql_real_query(mysql, sql, strlen(sql)) != 0)
		panic("%s: %s", sql, mysql_error(mysql));
}

static void
prepare(struct worker *w)
{
	struct buf sql = {0};

	buf_printf(
	    &sql, "INSERT INTO msg (cid, seq, sender, cmid, ts, kind, data, body, re) VALUES ");
	for (size_t i = 0; i < BATCH; i++)
		buf_printf(&sql, "%s(?,?,?,?,?,?,?,?,?)", i > 0 ? "," : "");
	w->insert = mysql_stmt_init(w->mysql);
	if (mysql_stmt_prepare(w->insert, buf_head(&sql), buf_len(&sql)) != 0)
		panic("prepare: %s", mysql_stmt_error(w->insert));
	buf_fini(&sql);
}

/* --- Rows --- */

static void
bind_number(MYSQL_BIND *bind, long long *number)
{
	*bind = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_LONGLONG, .buffer = number};
}

static void
bind_text(MYSQL_BIND *bind, char *text, unsigned long len)
{
	*bind =
	    (MYSQL_BIND){.buffer_type = MYSQL_TYPE_STRING, .buffer = text, .buffer_length = len};
}

static void
row_bind(MYSQL_BIND *p, struct row *row)
{
	static char kind[] = "text";

	bind_number(&p[0], &row->cid);
	bind_number(&p[1], &row->seq);
	bind_number(&p[2], &row->sender);
	bind_text(&p[3], row->cmid, row->cmid_len);
	bind_number(&p[4], &row->ts);
	bind_text(&p[5], kind, sizeof(kind) - 1);
	p[6] = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_NULL};
	bind_text(&p[7], body, sizeof(body));
	bind_number(&p[8], &row->re);
}

/* Conversations belong to one connection each, as they do to one writer of confabd. */
static void
row_next(struct worker *w, struct row *row, long long number)
{
	long long conv = number % (CONVS / connections) * connections + w->index;
	unsigned long long now = clock_mono_ns();

	*row = (struct row){.cid = conv + 1, .seq = ++w->seqs[conv], .sender = 2 * conv + 1};
	row->ts = (long long)(now / 1000000);
	row->cmid_len =
	    (unsigned long)snprintf(row->cmid, sizeof(row->cmid), "%013llx-%lld", now, conv);
}

static void
batch_insert(struct worker *w, long long first)
{
	for (int i = 0; i < BATCH; i++) {
		row_next(w, &w->rows[i], first + i);
		row_bind(&w->params[i * COLUMNS], &w->rows[i]);
	}
	if (mysql_stmt_bind_param(w->insert, w->params) != 0 || mysql_stmt_execute(w->insert) != 0)
		panic("INSERT: %s", mysql_stmt_error(w->insert));
}

static void *
worker_main(void *cookie)
{
	struct worker *w = cookie;
	long long number = 0;

	w->mysql = connect_to();
	prepare(w);
	batch_insert(w, number);
	(void)pthread_barrier_wait(&barrier); /* all are here; then the mark is set */
	(void)pthread_barrier_wait(&barrier);
	for (long i = 0; i < batches; i++)
		batch_insert(w, number += BATCH);
	(void)pthread_barrier_wait(&barrier);
	(void)mysql_stmt_close(w->insert);
	mysql_close(w->mysql);
	return NULL;
}

/* --- All of them --- */

static void
table_empty(void)
{
	MYSQL *mysql = connect_to();

	query(mysql, "TRUNCATE TABLE msg");
	mysql_close(mysql);
}

static void
report(double database_s, double own_s)
{
	double rows = (double)(batches * connections * BATCH);

	printf("{\"rows\":%.0f,\"batch\":%d,\"connections\":%ld,\"cpu_us_per_row\":%.3f,\"database_"
	       "us\":%.3f,"
	       "\"client_us\":%.3f}\n",
	    rows, BATCH, connections, (database_s + own_s) * 1e6 / rows, database_s * 1e6 / rows,
	    own_s * 1e6 / rows);
}

int
main(int argc, char **argv)
{
	static struct worker workers[CONNECTIONS_MAX];
	double database_s, own_s;
	pid_t pid;

	if (argc != 6 || (connections = strtol(argv[3], NULL, 10)) < 1 ||
	    connections > CONNECTIONS_MAX ||
	    (batches = strtol(argv[4], NULL, 10) / connections / BATCH) < 1) {
		fputs("usage: floor_insert SOCKET DATABASE CONNECTIONS ROWS PID\n", stderr);
		return 2;
	}
	socket_path = argv[1];
	database = argv[2];
	pid = (pid_t)strtol(argv[5], NULL, 10);
	memset(body, 'x', sizeof(body));
	if (mysql_library_init(0, NULL, NULL) != 0)
		panic("the client library of MariaDB does not start");
	table_empty();
	(void)pthread_barrier_init(&barrier, NULL, (unsigned)connections + 1);
	for (long i = 0; i < connections; i++) {
		workers[i].index = i;
		if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0)
			panic("pthread_create");
	}
	(void)pthread_barrier_wait(&barrier);
	database_s = process_cpu_s(pid);
	own_s = process_cpu_s(0);
	(void)pthread_barrier_wait(&barrier);
	(void)pthread_barrier_wait(&barrier);
	report(process_cpu_s(pid) - database_s, process_cpu_s(0) - own_s);
	for (long i = 0; i < connections; i++)
		(void)pthread_join(workers[i].thread, NULL);
	return 0;
}
