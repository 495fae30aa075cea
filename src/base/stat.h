/* SPDX-License-Identifier: MIT */
/*
 * Counters.  Each thread that counts owns a block of plain numbers that only it writes; whoever
 * asks sums all blocks, so that counting costs one add and no shared cache line.  A new row in the
 * tables below is a new counter, name, label and help text at once (Prometheus names and units).
 */
#ifndef BASE_STAT_H
#define BASE_STAT_H

#include "base/slice.h"

/* name in code, metric, label (or ""), help.  Rows of one metric stand together. */
#define STAT_COUNTERS(X)                                                                           \
	X(ACCEPTED, "confab_connections_accepted_total", "", "Connections accepted")               \
	X(REFUSED_FULL, "confab_connections_refused_total", "reason=\"full\"",                     \
	    "Connections refused")                                                                 \
	X(REFUSED_FD, "confab_connections_refused_total", "reason=\"fd\"", "")                     \
	X(REFUSED_ADDRESS, "confab_connections_refused_total", "reason=\"address\"", "")           \
	X(REFUSED_RATE, "confab_connections_refused_total", "reason=\"rate\"", "")                 \
	X(REFUSED_PROXY, "confab_connections_refused_total", "reason=\"proxy\"", "")               \
	X(BYTES_IN, "confab_received_bytes_total", "", "Bytes read from sockets")                  \
	X(BYTES_OUT, "confab_sent_bytes_total", "", "Bytes written to sockets")                    \
	X(WRITES, "confab_socket_writes_total", "", "System calls that wrote to a socket")         \
	X(TURNS, "confab_reactor_turns_total", "", "Turns of the event loops")                     \
	X(FRAMES_IN, "confab_frames_received_total", "", "Requests read, of any method")           \
	X(SENDS, "confab_messages_received_total", "", "Messages stored")                          \
	X(DUPS, "confab_messages_duplicate_total", "", "Sends that were answered as duplicates")   \
	X(DELIVERIES, "confab_messages_delivered_total", "",                                       \
	    "Entries put on a connection's queue")                                                 \
	X(FED, "confab_messages_fed_total", "",                                                    \
	    "Those of them that the feeder sent after the fact")                                   \
	X(GAPS, "confab_gaps_total", "", "Gaps announced")                                         \
	X(BEHIND, "confab_streams_behind_total", "",                                               \
	    "Streams that left the live run and were fed")                                         \
	X(DROP_SIGNAL, "confab_dropped_total", "reason=\"signal_slow_reader\"",                    \
	    "Droppable things dropped")                                                            \
	X(DROP_MARK, "confab_dropped_total", "reason=\"mark_slow_reader\"", "")                    \
	X(DROP_PRESENCE, "confab_dropped_total", "reason=\"presence_slow_reader\"", "")            \
	X(DROP_AFAR, "confab_dropped_total", "reason=\"presence_elsewhere_full\"", "")             \
	X(RINGS_BAD, "confab_rings_bad_total", "", "News of other nodes that were not understood") \
	X(HEADS_POLLED, "confab_heads_polled_total", "",                                           \
	    "Conversations whose heads were read because news may have been missed")               \
	X(PLACES_FORGOTTEN, "confab_places_forgotten_total", "",                                   \
	    "Names whose conversations were forgotten for newer ones")                             \
	X(STORE_BATCHES, "confab_store_batches_total", "", "Transactions of the writer")           \
	X(STORE_ROWS, "confab_store_batch_operations_total", "",                                   \
	    "Operations in those transactions")                                                    \
	X(STORE_APPENDS, "confab_store_appends_total", "", "Entries stored")                       \
	X(STORE_STATEMENTS, "confab_store_statements_total", "", "Statements the writer ran")      \
	X(STORE_READS, "confab_store_reads_total", "", "Operations of the readers")                \
	X(STORE_ERRORS, "confab_store_errors_total", "", "Transactions that failed")               \
	X(STORE_UNKNOWN, "confab_store_unknown_total", "",                                         \
	    "Commits whose outcome was unknown at first")                                          \
	X(STORE_CONNECTS, "confab_store_connects_total", "",                                       \
	    "Connections to MariaDB or MySQL that were made")                                      \
	X(STORE_DISCONNECTS, "confab_store_disconnects_total", "",                                 \
	    "Connections to MariaDB or MySQL that broke, or were tried in vain")                   \
	X(STORE_CHECKPOINTS, "confab_store_checkpoints_total", "", "Checkpoints run")              \
	X(STORE_ERASED, "confab_store_erasures_total", "result=\"done\"",                          \
	    "Emptyings of the log that take what was deleted off the disk")                        \
	X(STORE_ERASE_HELD, "confab_store_erasures_total", "result=\"held\"", "")                  \
	X(STORE_BUSY, "confab_store_refused_total", "",                                            \
	    "Operations refused because the queue was full")                                       \
	X(LOGINS, "confab_logins_total", "method=\"password\"", "Logins that succeeded")           \
	X(REGISTERS, "confab_logins_total", "method=\"register\"", "")                             \
	X(RESUMES, "confab_logins_total", "method=\"token\"", "")                                  \
	X(LOGINS_WAITED, "confab_logins_waited_total", "",                                         \
	    "Times that a connection was not read before its login because others were first")     \
	X(HASH_BUSY, "confab_logins_refused_total", "",                                            \
	    "Logins refused because the hashing queue was full")                                   \
	X(RATE_SESSION, "confab_rate_limited_total", "scope=\"session\"",                          \
	    "Requests refused by rate limits")                                                     \
	X(RATE_USER, "confab_rate_limited_total", "scope=\"user\"", "")                            \
	X(RATE_ADDRESS, "confab_rate_limited_total", "scope=\"address\"", "")                      \
	X(RATE_LOGIN, "confab_rate_limited_total", "scope=\"login\"", "")                          \
	X(RATE_LOGIN_ADDRESS, "confab_rate_limited_total", "scope=\"login_address\"", "")          \
	X(RATE_LOGIN_USER, "confab_rate_limited_total", "scope=\"login_user\"", "")                \
	X(RATE_RESUME, "confab_rate_limited_total", "scope=\"resume\"", "")                        \
	X(RATE_REGISTER, "confab_rate_limited_total", "scope=\"register\"", "")                    \
	X(RATE_ORDER, "confab_rate_limited_total", "scope=\"order\"", "")                          \
	X(RATE_HELD, "confab_rate_held_total", "",                                                 \
	    "Times a connection was not read for a moment because it was refused too often")       \
	X(HTTP_REQUESTS, "confab_http_requests_total", "", "HTTP requests, upgrades included")     \
	X(BUS_OUT, "confab_bus_rings_sent_total", "", "News for other nodes")                      \
	X(BUS_PUBLISHES, "confab_bus_publishes_total", "",                                         \
	    "Messages to Redis that they went in, beacons included")                               \
	X(BUS_IN, "confab_bus_rings_heard_total", "from=\"others\"", "News heard from nodes")      \
	X(BUS_OWN, "confab_bus_rings_heard_total", "from=\"itself\"", "")                          \
	X(BUS_DROP_FULL, "confab_bus_dropped_total", "reason=\"queue_full\"",                      \
	    "News for other nodes that were dropped; these are told that some are missing")        \
	X(BUS_DROP_SIZE, "confab_bus_dropped_total", "reason=\"too_big\"", "")                     \
	X(BUS_DROP_DOWN, "confab_bus_dropped_total", "reason=\"disconnected\"", "")                \
	X(BUS_DROP_BROKEN, "confab_bus_dropped_total", "reason=\"connection_broke\"", "")          \
	X(BUS_DROP_REFUSED, "confab_bus_dropped_total", "reason=\"refused\"", "")                  \
	X(BUS_REJECT_DAMAGED, "confab_bus_rejected_total", "reason=\"damaged\"",                   \
	    "What came from Redis and was not heard")                                              \
	X(BUS_REJECT_FORGED, "confab_bus_rejected_total", "reason=\"forged\"", "")                 \
	X(BUS_REJECT_EPOCH, "confab_bus_rejected_total", "reason=\"epoch\"", "")                   \
	X(BUS_REJECT_VERSION, "confab_bus_rejected_total", "reason=\"version\"", "")               \
	X(BUS_REJECT_PEERS, "confab_bus_rejected_total", "reason=\"too_many_nodes\"", "")          \
	X(BUS_CONNECTS, "confab_bus_connects_total", "", "Connections to Redis that were made")    \
	X(BUS_DISCONNECTS, "confab_bus_disconnects_total", "",                                     \
	    "Connections to Redis that ended, or were tried in vain")                              \
	X(BUS_LOST, "confab_bus_lost_total", "", "Times that news may have been missed")           \
	X(SHED, "confab_shed_total", "", "Requests refused because memory was short")              \
	X(CALL_TIMEOUTS, "confab_call_timeouts_total", "", "Requests answered because time ran out")

/* Things that go up and down; each thread counts its own share, sums are what is there. */
#define STAT_GAUGES(X)                                                                             \
	X(CONNS, "confab_connections", "", "Connections open")                                     \
	X(CONNS_WS, "confab_connections_websocket", "", "Those over WebSocket")                    \
	X(SESSIONS, "confab_sessions", "", "Connections that are logged in")                       \
	X(ONLINE, "confab_users_online", "",                                                       \
	    "Users with a synced connection to this node, invisible ones too")                     \
	X(STREAMS, "confab_streams", "", "Conversations followed, summed over connections")        \
	X(LOGINS_WAITING, "confab_logins_waiting", "",                                             \
	    "Connections that are not read before their login because others are first")           \
	X(OUT_BYTES, "confab_queued_bytes", "", "Bytes queued for sockets")                        \
	X(HELD_RUNS, "confab_held_bytes", "what=\"output\"",                                       \
	    "Bytes held for messages on their way")                                                \
	X(HELD_ENTRIES, "confab_held_bytes", "what=\"entries\"", "")                               \
	X(HELD_INPUT, "confab_held_bytes", "what=\"input\"", "")                                   \
	X(STORE_QUEUE, "confab_store_queue_operations", "queue=\"write\"", "Operations that wait") \
	X(READ_QUEUE, "confab_store_queue_operations", "queue=\"read\"", "")                       \
	X(STORE_LAG, "confab_store_index_lag_entries", "",                                         \
	    "Entries that the index of the log does not have yet")                                 \
	X(HASH_QUEUE, "confab_hash_queue_jobs", "", "Passwords that wait to be hashed")            \
	X(BUS_CONNECTED, "confab_bus_connected", "", "Whether Redis is there")                     \
	X(BUS_LOOPED, "confab_bus_looped", "", "Whether what this node publishes comes back")      \
	X(BUS_PEERS, "confab_bus_peers", "", "Other nodes that are heard")                         \
	X(BUS_CHANNELS, "confab_bus_channels", "", "Conversations and users listened for")         \
	X(AFAR, "confab_users_elsewhere", "", "Users known to be connected to other nodes")        \
	X(CALLS, "confab_calls_in_flight", "", "Requests that were not answered yet")

/* Histograms of nanoseconds with power-of-two buckets from 1 µs to 17 s. */
#define STAT_HISTOGRAMS(X)                                                                         \
	X(COMMIT, "confab_store_commit_seconds", "",                                               \
	    "Time of a transaction of the writer, commit included")                                \
	X(QUEUED, "confab_store_wait_seconds", "",                                                 \
	    "Time that an operation waited for its transaction")                                   \
	X(ACK, "confab_send_seconds", "", "From a send's reading to its answer")                   \
	X(BUS_LOOP, "confab_bus_loop_seconds", "",                                                 \
	    "From a beacon's publishing to its coming back from Redis")                            \
	X(HASHING, "confab_hash_seconds", "", "Time of hashing one password")

#define STAT_ENUM_COUNTER(name, metric, label, help) STAT_##name,
#define STAT_ENUM_GAUGE(name, metric, label, help) GAUGE_##name,
#define STAT_ENUM_HISTOGRAM(name, metric, label, help) HISTOGRAM_##name,
enum stat_counter { STAT_COUNTERS(STAT_ENUM_COUNTER) STAT_MAX };
enum stat_gauge { STAT_GAUGES(STAT_ENUM_GAUGE) GAUGE_MAX };
enum stat_histogram { STAT_HISTOGRAMS(STAT_ENUM_HISTOGRAM) HISTOGRAM_MAX };

enum {
	STAT_CODES = 64, /* room for errors and close reasons, named by the tables that own them */
	HISTOGRAM_BUCKETS = 25, /* bucket i holds values <= 1024 ns << i; the last one the rest */
};

struct stats {
	uint64_t counters[STAT_MAX];
	int64_t gauges[GAUGE_MAX];
	uint64_t errors[STAT_CODES]; /* answers with this error, by enum err */
	uint64_t closes[STAT_CODES]; /* connections closed, by enum close_reason */
	uint64_t histograms[HISTOGRAM_MAX][HISTOGRAM_BUCKETS];
	uint64_t histogram_sum_ns[HISTOGRAM_MAX];
};

/* The calling thread's block: made at the first use, kept and summed after the thread's end. */
struct stats *stats_self(void);
/* Adds up every thread's block.  Any thread; numbers of one moment may be a few apart. */
void stats_sum(struct stats *ret_sum);

void stat_add(enum stat_counter which, uint64_t n);
void gauge_add(enum stat_gauge which, int64_t n);
void stat_error(unsigned err);
void stat_close(unsigned reason);
void histogram_add(enum stat_histogram which, uint64_t ns);

#endif
