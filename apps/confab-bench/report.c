/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "wire/json.h"

struct mark marks[MARK_MAX];

void
mark_set(unsigned which)
{
	struct mark *m = &marks[which];

	m->at_ns = bench.now_ns = clock_mono_ns();
	m->totals = bench.totals;
	m->connections = bench.ready;
	m->own_cpu_s = proc_own_cpu_s();
	if (bench.options.pid != 0 && (!proc_cpu_read(bench.options.pid, &m->cpu) ||
					  !proc_memory_read(bench.options.pid, &m->memory)))
		cannot("process %d can't be looked at", bench.options.pid);
}

void
report_progress(void)
{
	static uint64_t sends, deliveries;
	const struct totals *t = &bench.totals;

	(void)fprintf(stderr,
	    "%6.1f s  %u connections  %" PRIu64 " sends (+%" PRIu64 ")  %" PRIu64
	    " deliveries (+%" PRIu64 ")  p99 %.2f ms  %" PRIu64 " violations\n",
	    (double)(bench.now_ns - bench.started_ns) / 1e9, bench.ready, t->sends,
	    t->sends - sends, t->deliveries, t->deliveries - deliveries,
	    (double)hist_at(&bench.delivery, 0.99) / 1e6, violations());
	sends = t->sends;
	deliveries = t->deliveries;
}

static void
put_number(struct buf *to, const char *key, double value)
{
	json_key(to, key);
	buf_printf(to, "%.6g", value);
}

/* [highest value, how many] of all that are not empty. */
static void
put_buckets(struct buf *to, const struct hist *h)
{
	json_key(to, "buckets");
	buf_put(to, S("["));
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		if (h->buckets[i] == 0)
			continue;
		json_comma(to);
		buf_printf(
		    to, "[%.6g,%" PRIu64 "]", (double)hist_bucket_top(i) / 1000, h->buckets[i]);
	}
	buf_put(to, S("]"));
}

static void
put_hist(struct buf *to, const char *key, const struct hist *h)
{
	if (h->count == 0)
		return;
	json_key(to, key);
	buf_put(to, S("{"));
	json_uint(to, "count", h->count);
	put_number(to, "mean", (double)h->sum / (double)h->count / 1000);
	put_number(to, "p50", (double)hist_at(h, 0.5) / 1000);
	put_number(to, "p90", (double)hist_at(h, 0.9) / 1000);
	put_number(to, "p99", (double)hist_at(h, 0.99) / 1000);
	put_number(to, "p99.9", (double)hist_at(h, 0.999) / 1000);
	put_number(to, "p99.99", (double)hist_at(h, 0.9999) / 1000);
	put_number(to, "max", (double)h->max / 1000);
	if (bench.options.histogram)
		put_buckets(to, h);
	buf_put(to, S("}"));
}

static void
put_command(struct buf *to, int argc, char **argv)
{
	json_key(to, "command");
	buf_put(to, S("["));
	for (int i = 0; i < argc; i++) {
		json_comma(to);
		json_put_string(to, slice_str(argv[i]));
	}
	buf_put(to, S("]"));
}

static void
put_threads(struct buf *to, const struct proc_cpu *from, const struct proc_cpu *until)
{
	json_key(to, "threads");
	buf_put(to, S("["));
	for (unsigned i = 0; i < until->count; i++) {
		const struct proc_thread *thread = &until->threads[i];
		double before = 0;

		for (unsigned j = 0; j < from->count; j++) {
			if (from->threads[j].tid == thread->tid)
				before = from->threads[j].cpu_s;
		}
		json_comma(to);
		buf_put(to, S("{"));
		json_str(to, "name", slice_str(thread->name));
		json_uint(to, "tid", (uint64_t)thread->tid);
		put_number(to, "cpu_s", thread->cpu_s - before);
		buf_put(to, S("}"));
	}
	buf_put(to, S("]"));
}

/* From no connection, or from --from of them, to all. */
static void
put_connection_bytes(struct buf *to)
{
	const struct mark *few =
	    marks[MARK_OPEN_FROM].at_ns != 0 ? &marks[MARK_OPEN_FROM] : &marks[MARK_EMPTY];
	const struct mark *all =
	    bench.options.scenario == SCENARIO_idle ? &marks[MARK_END] : &marks[MARK_OPEN];
	double count = (double)all->connections - (double)few->connections;

	if (count > 0)
		put_number(to, "bytes_per_connection",
		    ((double)all->memory.private_dirty - (double)few->memory.private_dirty) /
			count);
}

static void
put_server(struct buf *to, double wall_s, double sends, double deliveries, double resumes)
{
	const struct mark *from = &marks[MARK_START], *until = &marks[MARK_END];
	double cpu_s = until->cpu.cpu_s - from->cpu.cpu_s;

	put_number(to, "server_cpu_s", cpu_s);
	put_number(to, "server_cores", cpu_s / wall_s);
	if (sends > 0 && cpu_s > 0) {
		put_number(to, "cpu_us_per_send", cpu_s * 1e6 / sends);
		put_number(to, "sends_per_cpu_s", sends / cpu_s);
	}
	if (deliveries > 0 && cpu_s > 0) {
		put_number(to, "cpu_us_per_delivery", cpu_s * 1e6 / deliveries);
		put_number(to, "deliveries_per_cpu_s", deliveries / cpu_s);
	}
	if (resumes > 0)
		put_number(to, "cpu_us_per_resume", cpu_s * 1e6 / resumes);
	put_threads(to, &from->cpu, &until->cpu);
	json_uint(to, "rss", until->memory.rss);
	json_uint(to, "private_dirty", until->memory.private_dirty);
	json_uint(to, "private_dirty_empty", marks[MARK_EMPTY].memory.private_dirty);
	put_connection_bytes(to);
}

static void
put_violations(struct buf *to)
{
	json_key(to, "violations");
	buf_put(to, S("{"));
	for (unsigned i = 0; i < VIOLATION_MAX; i++)
		json_uint(to, violation_names[i], violation_counts[i]);
	buf_put(to, S("}"));
}

static void
put_totals(struct buf *to)
{
	const struct totals *t = &bench.totals;
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
	    {"sends", t->sends},
	    {"answers", t->answers},
	    {"deliveries", t->deliveries},
	    {"from_history", t->history},
	    {"gaps", t->gaps},
	    {"dups", t->dups},
	    {"refused", t->refused},
	    {"sent_again", t->retried},
	    {"signals", t->signals},
	    {"marks", t->marks},
	    {"presences", t->presences},
	    {"resumes", t->resumes},
	    {"goaways", t->goaways},
	    {"closed", t->closed},
	};

	json_key(to, "total");
	buf_put(to, S("{"));
	for (size_t i = 0; i < LEN(rows); i++)
		json_uint(to, rows[i].name, rows[i].value);
	buf_put(to, S("}"));
}

static void
put_heads(struct buf *to, int argc, char **argv)
{
	const struct options *o = &bench.options;

	json_str(to, "scenario", slice_str(o->scenario_name));
	json_str(to, "transport",
	    o->ws    ? o->tls ? S("wss") : S("ws")
	       : o->tls ? S("tls")
		     : S("tcp"));
	json_str(to, "loop", o->rate > 0 ? S("open") : S("closed"));
	put_command(to, argc, argv);
	json_key(to, "machine");
	proc_put_machine(to);
	json_key(to, "versions");
	buf_put(to, S("{"));
	json_str(to, "confab-bench", S(CONFAB_VERSION));
	json_str(to, "server", slice_str(bench.server_version));
	json_str(to, "openssl", slice_str(OpenSSL_version(OPENSSL_VERSION)));
	buf_put(to, S("}"));
}

void
report_print(int argc, char **argv)
{
	const struct mark *from = &marks[MARK_START], *until = &marks[MARK_END];
	double wall_s = (double)(until->at_ns - from->at_ns) / 1e9 + 1e-9,
	       own_s = until->own_cpu_s - from->own_cpu_s;
	double sends = (double)(until->totals.answers - from->totals.answers);
	double deliveries = (double)(until->totals.deliveries - from->totals.deliveries);
	double resumes = (double)(until->totals.resumes - from->totals.resumes);
	double server_s = until->cpu.cpu_s - from->cpu.cpu_s;
	struct buf out = {0};

	buf_put(&out, S("{"));
	put_heads(&out, argc, argv);
	json_uint(&out, "connections", until->connections);
	put_number(&out, "wall_s", wall_s);
	json_uint(&out, "sends", (uint64_t)sends);
	json_uint(&out, "deliveries", (uint64_t)deliveries);
	put_number(&out, "sends_per_s", sends / wall_s);
	put_number(&out, "deliveries_per_s", deliveries / wall_s);
	if (bench.options.pid != 0)
		put_server(&out, wall_s, sends, deliveries, resumes);
	put_number(&out, "own_cpu_s", own_s);
	put_number(&out, "own_cores", own_s / wall_s);
	if (deliveries > 0)
		put_number(&out, "own_us_per_delivery", own_s * 1e6 / deliveries);
	put_hist(&out, "ack_us", &bench.ack);
	put_hist(&out, "ack_before_us", &bench.ack_before);
	put_hist(&out, "delivery_us", &bench.delivery);
	put_hist(&out, "resume_us", &bench.resume);
	put_totals(&out);
	put_violations(&out);
	/* Where the generator was at its end and the server was not, the figures are the generator's. */
	json_bool(&out, "void",
	    bench.options.pid != 0 && own_s / wall_s >= 0.95 && server_s / wall_s < 0.8);
	buf_put(&out, S("}\n"));
	(void)fwrite(buf_head(&out), 1, buf_len(&out), stdout);
	(void)fflush(stdout);
	buf_fini(&out);
}
