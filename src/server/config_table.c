/* SPDX-License-Identifier: MIT */
/* The keys themselves: name, type, bounds, default, and what --help says. */
#include "server/config_keys.h"

#include "base/panic.h"
#include "base/rate.h"

#define AT(member) offsetof(struct config, member)
#define KIB 1024
#define RATE(name, member, fallback, help)                                                         \
	{                                                                                          \
		name, CONFIG_NUMBER, AT(rates.member.rate), 0, LIMIT_RATE_AMOUNT, true, fallback,  \
		    "N", help "; 0: no limit"                                                      \
	}
#define BURST(name, member, fallback, help)                                                        \
	{                                                                                          \
		name, CONFIG_NUMBER, AT(rates.member.burst), 1, LIMIT_RATE_BURST, true, fallback,  \
		    "N", help                                                                      \
	}

/* What the protocol promises to be able to carry: no frame of a client is longer than 64 KiB. */
enum { LIMIT_MAX_BODY = 48 * KIB, LIMIT_MAX_THREADS = 64 };

const struct config_key config_keys[] = {
    {"listen", CONFIG_LISTEN, AT(listen), 0, 0, false, "127.0.0.1:7000", "ADDR:PORT[,proxy][,tls]",
	"where to listen, any number of times; port 0 is any free one, *:7000 is every address; "
	"`proxy`: a "
	"PROXY header comes first; `tls`: nothing is done in the clear"},
    {"allow_plain", CONFIG_BOOL, AT(allow_plain), 0, 0, false, "no", "yes|no",
	"listen without TLS beyond this machine: passwords travel in the clear"},
    {"tls_cert", CONFIG_TEXT, AT(tls_cert), 0, 0, false, "", "FILE", "certificate chain, PEM"},
    {"tls_key", CONFIG_TEXT, AT(tls_key), 0, 0, false, "", "FILE", "its private key, PEM"},
    {"data", CONFIG_TEXT, AT(data), 0, 0, false, NULL, "DIR",
	"the data directory; made if it is not there; one confabd at a time"},
    {"store", CONFIG_STORE, AT(store), 0, 0, false, NULL,
	"sqlite:PATH|memory:|mysql://USER@HOST/DATABASE[?...]",
	"where messages live; memory: forgets them at the end; several nodes share a MariaDB or "
	"MySQL"},
    {"bus", CONFIG_BUS, AT(bus), 0, 0, false, "local:",
	"local:|redis://[USER:PASSWORD@]HOST:PORT[?...]",
	"how nodes hear of each other; with ?sentinel=NAME the hosts, up to 8 with commas between "
	"them, are Sentinels; ?cluster=NAME keeps clusters apart that share a Redis"},
    {"node", CONFIG_NODE, AT(node), 0, 0, false, NULL, "NAME",
	"this node's name (n1); must be given where there are others"},
    {"workers", CONFIG_NUMBER, AT(workers), 0, LIMIT_MAX_THREADS, false, "0", "N",
	"event loops; 0: one for each core"},
    {"store_readers", CONFIG_NUMBER, AT(store_readers), 0, LIMIT_MAX_THREADS, false, "0", "N",
	"threads that read the store; 0: two"},
    {"hash_threads", CONFIG_NUMBER, AT(hash_threads), 0, LIMIT_MAX_THREADS, false, "0", "N",
	"threads that hash passwords; 0: one for every two cores"},
    {"hash_queue", CONFIG_NUMBER, AT(hash_queue), 1, 65536, false, "128", "N",
	"passwords that may wait for each of those threads; a login beyond is answered `busy`"},
    {"password_mem_kib", CONFIG_NUMBER, AT(password_mem_kib), 8, 4 * KIB *KIB, false, "19456",
	"KIB", "memory that hashing a password takes (argon2id)"},
    {"password_passes", CONFIG_NUMBER, AT(password_passes), 1, 100, false, "2", "N",
	"passes over that memory"},
    {"registration", CONFIG_OPEN, AT(registration_open), 0, 0, true, "open", "open|closed",
	"whether anyone may register; closed: `confabd user add`"},
    {"directory", CONFIG_OPEN, AT(directory_open), 0, 0, true, "open", "open|closed",
	"whether users can search for, and see, users they have nothing to do with"},
    {"token_days", CONFIG_NUMBER, AT(token_days), 1, 3650, true, "30", "DAYS",
	"how long after its last use a login token is good"},
    {"log_file", CONFIG_TEXT, AT(log_file), 0, 0, false, "", "FILE",
	"where to log; opened anew on SIGHUP; empty: standard error"},
    {"log_level", CONFIG_LEVEL, AT(log_level), 0, 0, true, "info", "error|warn|info|debug",
	"what is worth a line"},
    {"max_connections", CONFIG_NUMBER, AT(max_connections), 0, 1 << 20, true, "0", "N",
	"connections at a time; 0: as many as descriptors, less 64"},
    {"memory_budget_mib", CONFIG_NUMBER, AT(memory_budget_mib), 1, 1 << 20, true, "1024", "MIB",
	"memory for messages on their way; from 60 % on registrations are answered `busy`, then "
	"logins, signals, sends"},
    {"idle_ms", CONFIG_NUMBER, AT(idle_ms), 1000, 3600 * 1000, true, "75000", "MS",
	"a connection on which nothing arrives for so long is closed"},
    {"login_ms", CONFIG_NUMBER, AT(login_ms), 100, 3600 * 1000, true, "30000", "MS",
	"the same for one that did not ask for a login"},
    {"presence_leave_ms", CONFIG_NUMBER, AT(presence_leave_ms), 0, 600 * 1000, true, "5000", "MS",
	"how late those who watch a user are told that he left; who is back by then did not leave"},
    {"drain_ms", CONFIG_NUMBER, AT(drain_ms), 0, 600 * 1000, true, "8000", "MS",
	"on SIGTERM: how long to wait for clients to go"},
    {"limit_body", CONFIG_NUMBER, AT(limit_body), 1, LIMIT_MAX_BODY, true, "16384", "BYTES",
	"longest body of a message"},
    {"limit_data", CONFIG_NUMBER, AT(limit_data), 2, LIMIT_MAX_BODY, true, "16384", "BYTES",
	"longest data of a message"},
    {"limit_signal_data", CONFIG_NUMBER, AT(limit_signal_data), 2, LIMIT_MAX_BODY, true, "1024",
	"BYTES", "longest data of a signal"},
    {"limit_conversations", CONFIG_NUMBER, AT(limit_conversations), 1, 1000000, true, "2000", "N",
	"conversations of a user"},
    {"limit_groups", CONFIG_NUMBER, AT(limit_groups), 1, 1000000, true, "1000", "N",
	"groups that a user owns"},
    {"limit_members", CONFIG_NUMBER, AT(limit_members), 2, 1000000, true, "100000", "N",
	"members of a group"},
    {"limit_contacts", CONFIG_NUMBER, AT(limit_contacts), 1, 1000000, true, "1000", "N",
	"contacts of a user"},
    {"limit_sessions", CONFIG_NUMBER, AT(limit_sessions), 1, 1000, true, "20", "N",
	"sessions of a user"},
    {"limit_connections", CONFIG_NUMBER, AT(limit_connections), 1, 100000, true, "100", "N",
	"connections of a user"},
    {"connections_per_address", CONFIG_NUMBER, AT(connections_per_address), 0, 1 << 20, true,
	"1000", "N", "connections of one address, or of one /64 of IPv6, at a time; 0: any number"},
    RATE("rate_session", session, "50",
	"what one session may ask for in a second; a request costs its weight, 1 to 16"),
    BURST("rate_session_burst", session, "500", "how much of that it can save up"),
    RATE("rate_user", user, "100", "the same for all sessions of a user together"),
    BURST("rate_user_burst", user, "1000", "how much of that a user can save up"),
    RATE("rate_address", address, "500",
	"the same for all connections of an address, or of a /64 of IPv6"),
    BURST("rate_address_burst", address, "5000", "how much of that an address can save up"),
    RATE("login_rate", login, "6", "wrong passwords a minute from one address for one user"),
    BURST("login_burst", login, "10", "how many of them in one go"),
    RATE("login_address_rate", login_address, "60",
	"wrong passwords, or tokens, a minute from one address"),
    BURST("login_address_burst", login_address, "100", "how many of them in one go"),
    RATE("login_user_rate", login_user, "60",
	"wrong passwords a minute for one user, from addresses that are new to him"),
    BURST("login_user_burst", login_user, "100", "how many of them in one go"),
    RATE("register_rate", registration, "10", "registrations a minute from one address"),
    BURST("register_burst", registration, "50", "how many of them in one go"),
    {"rate_exempt", CONFIG_BLOCKS, AT(rate_exempt), 0, 0, true, "127.0.0.0/8 ::1", "ADDR|CIDR...",
	"whose clients are limited by none of these, nor by connections_per_address"},
    {"origins", CONFIG_ORIGINS, AT(origins), 0, 0, true, "", "URL...",
	"web pages beside our own that may open a WebSocket, like https://chat.example.org"},
    {"proxies", CONFIG_BLOCKS, AT(proxies), 0, 0, true, "127.0.0.1 ::1", "ADDR|CIDR...",
	"who may send PROXY headers on a `proxy` listener"},
    {"monitors", CONFIG_BLOCKS, AT(monitors), 0, 0, true, "", "ADDR|CIDR...",
	"who may read /metrics and the reasons of /readyz, beside this machine"},
};
const size_t config_key_count = LEN(config_keys);
