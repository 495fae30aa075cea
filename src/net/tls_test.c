/* SPDX-License-Identifier: MIT */
/* TLS against OpenSSL's own client, with a certificate made here. */
#include <sys/ioctl.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "net/net_fixture.h"

static char dir[64], cert_file[96], key_file[96];
static struct tls_context *context;
static struct reactor *r;
static struct listener *listener;
static struct probe p;
static SSL_CTX *client_context;
static SSL *client;
static int client_fd;

/* --- The certificate --- */

static X509 *
certificate_make(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	const unsigned char host[] = "localhost";

	(void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, host, -1, -1, 0), 1);
	assert_int_equal(X509_set_issuer_name(cert, name), 1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

static void
write_pem(const char *path, X509 *cert, EVP_PKEY *key)
{
	FILE *to = fopen(path, "we");

	assert_non_null(to);
	if (cert != NULL)
		assert_int_equal(PEM_write_X509(to, cert), 1);
	if (key != NULL)
		assert_int_equal(PEM_write_PrivateKey(to, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(to), 0);
}

static void
files_make(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = certificate_make(key);

	write_pem(cert_file, cert, NULL);
	write_pem(key_file, NULL, key);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int
group_setup(void **state)
{
	char error[256];

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/confab-tls-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(cert_file, sizeof(cert_file), "%s/cert.pem", dir);
	(void)snprintf(key_file, sizeof(key_file), "%s/key.pem", dir);
	files_make();
	context = tls_context_create(cert_file, key_file, error, sizeof(error));
	assert_non_null(context);
	return 0;
}

static int
group_teardown(void **state)
{
	(void)state;
	tls_context_destroy(&context);
	(void)unlink(cert_file);
	(void)unlink(key_file);
	(void)rmdir(dir);
	return 0;
}

/* --- A connection that turns to TLS at its first byte, as a gate would --- */

static size_t
detect_input(struct conn *conn, char *bytes, size_t len)
{
	if (bytes[0] != 0x16) {
		conn_close(conn, CLOSE_TLS);
		return len;
	}
	conn_set_ops(conn, &probe_ops);
	assert_int_equal(conn_start_tls(conn, slice_of(bytes, len)), 0);
	return len;
}

static const struct conn_ops detect_ops = { .input = detect_input, .closed = probe_closed };

static void
detect_opened(struct conn *conn)
{
	probe_opened(conn);
	conn_set_ops(conn, &detect_ops);
}

static int
setup(void **state)
{
	struct listener_options options = { .tls = context };
	struct sockaddr_storage to;
	socklen_t len;

	(void)state;
	p = (struct probe) {0};
	probe_opening = &p;
	r = reactor_create(0);
	assert_int_equal(listener_open(&r, 1, "127.0.0.1:0", &options, detect_opened, &listener), 0);
	assert_int_equal(address_parse(listener_address(listener), &to, &len), 0);
	client_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client_fd, (struct sockaddr *)&to, len), 0);
	assert_int_equal(fcntl(client_fd, F_SETFL, O_NONBLOCK), 0);
	client_context = SSL_CTX_new(TLS_client_method());
	client = SSL_new(client_context);
	assert_int_equal(SSL_set_fd(client, client_fd), 1);
	SSL_set_connect_state(client);
	turns_until(r, p.conn != NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	SSL_free(client);
	SSL_CTX_free(client_context);
	if (client_fd >= 0)
		(void)close(client_fd);
	listener_close(&listener);
	reactor_destroy(&r);
	assert_int_equal(p.closed, 1);
	probe_fini(&p);
	assert_int_equal(gauge(GAUGE_CONNS), 0);
	assert_int_equal(gauge(GAUGE_OUT_BYTES), 0);
	return 0;
}

static void
handshake(void)
{
	for (int i = 0; i < 1000; i++) {
		ERR_clear_error();
		if (SSL_do_handshake(client) == 1)
			return;
		reactor_turn(r, 2);
	}
	fail_msg("no handshake: %d", SSL_get_error(client, -1));
}

static void
client_write(const char *bytes, size_t len)
{
	size_t n = 0;

	for (int i = 0; i < 10000 && len > 0; i++) {
		ERR_clear_error();
		if (SSL_write_ex(client, bytes, len, &n) == 1) {
			bytes += n;
			len -= n;
		}
		reactor_turn(r, 0);
	}
	assert_int_equal(len, 0);
}

/* Returns SSL_get_error()'s word for why it stopped. */
static int
client_read(struct buf *to, size_t want)
{
	for (int i = 0; i < 20000 && buf_len(to) < want; i++) {
		size_t n = 0;

		ERR_clear_error();
		if (SSL_read_ex(client, buf_reserve(to, 16384), 16384, &n) == 1) {
			buf_grew(to, n);
			continue;
		}
		if (SSL_get_error(client, 0) != SSL_ERROR_WANT_READ)
			return SSL_get_error(client, 0);
		reactor_turn(r, 2);
	}
	return SSL_ERROR_NONE;
}

/* As many records that carry nothing; the server is not given a turn meanwhile. */
static void
client_renew_keys(int times)
{
	for (int i = 0; i < times; i++) {
		ERR_clear_error();
		assert_int_equal(SSL_key_update(client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(client), 1);
	}
}

/* --- The tests --- */

static void
round_trip(void **state)
{
	static char much[300000];
	uint64_t in = counter(STAT_BYTES_IN), out = counter(STAT_BYTES_OUT);
	struct buf back = {0};

	(void)state;
	p.echo = true;
	handshake();
	assert_true(conn_is_tls(p.conn));
	assert_string_equal(SSL_get_version(client), "TLSv1.3");
	client_write("hello", 5);
	assert_int_equal(client_read(&back, 5), SSL_ERROR_NONE);
	assert_memory_equal(back.bytes, "hello", 5);
	buf_clear(&back);
	for (size_t i = 0; i < sizeof(much); i++)
		much[i] = (char)(i * 7 + i / 256);
	client_write(much, sizeof(much));
	assert_int_equal(client_read(&back, sizeof(much)), SSL_ERROR_NONE);
	assert_memory_equal(back.bytes, much, sizeof(much));
	assert_true(counter(STAT_BYTES_IN) - in > sizeof(much));
	assert_true(counter(STAT_BYTES_OUT) - out > sizeof(much));
	turns_settle(r);
	assert_null(p.conn->in);
	assert_null(p.conn->out);
	buf_fini(&back);
}

static void
the_oldest_allowed_is_1_2(void **state)
{
	struct buf back = {0};

	(void)state;
	p.echo = true;
	assert_int_equal(SSL_set_max_proto_version(client, TLS1_2_VERSION), 1);
	handshake();
	assert_string_equal(SSL_get_version(client), "TLSv1.2");
	client_write("x", 1);
	assert_int_equal(client_read(&back, 1), SSL_ERROR_NONE);
	buf_fini(&back);
	/* Its renegotiation is refused. */
	assert_int_equal(SSL_renegotiate(client), 1);
	for (int i = 0; i < 50 && p.closed == 0; i++) {
		ERR_clear_error();
		(void)SSL_do_handshake(client);
		reactor_turn(r, 1);
	}
	assert_true(SSL_do_handshake(client) != 1);
}

static void
older_ones_fail(void **state)
{
	(void)state;
	SSL_set_security_level(client, 0);
	assert_int_equal(SSL_set_min_proto_version(client, TLS1_VERSION), 1);
	assert_int_equal(SSL_set_max_proto_version(client, TLS1_1_VERSION), 1);
	for (int i = 0; i < 1000 && p.closed == 0; i++) {
		ERR_clear_error();
		assert_true(SSL_do_handshake(client) != 1);
		reactor_turn(r, 1);
	}
	assert_int_equal(p.closed, 1);
	assert_int_equal(p.reason, CLOSE_TLS);
}

/* A hello that comes byte by byte: the first is what detection has seen. */
static void
the_hello_may_come_in_pieces(void **state)
{
	BIO *to_server = BIO_new(BIO_s_mem());
	struct buf back = {0};
	char *hello;
	long len;

	(void)state;
	p.echo = true;
	SSL_set0_wbio(client, to_server);
	assert_true(SSL_do_handshake(client) != 1);
	len = BIO_get_mem_data(to_server, &hello);
	assert_true(len > 50);
	for (long i = 0; i < len; i++) {
		assert_int_equal(send(client_fd, hello + i, 1, 0), 1);
		reactor_turn(r, i < 5 ? 5 : 0);
	}
	SSL_set0_wbio(client, BIO_new_socket(client_fd, BIO_NOCLOSE));
	handshake();
	client_write("pieces", 6);
	assert_int_equal(client_read(&back, 6), SSL_ERROR_NONE);
	buf_fini(&back);
}

/* OpenSSL reads on as long as there are such records: one peer would hold up all others. */
static void
records_without_content_wait_for_the_next_turn(void **state)
{
	struct buf back = {0};
	size_t written = 0;
	int waiting = 0;

	(void)state;
	p.echo = true;
	handshake();
	turns_settle(r);
	client_renew_keys(4000);
	assert_int_equal(SSL_write_ex(client, "x", 1, &written), 1);
	assert_int_equal(ioctl(p.conn->fd, FIONREAD, &waiting), 0);
	assert_true(waiting > LIMIT_READ_BYTES);
	for (int before = waiting; waiting > 0; before = waiting) {
		reactor_turn(r, 100);
		assert_int_equal(ioctl(p.conn->fd, FIONREAD, &waiting), 0);
		assert_in_range(before - waiting, 1, LIMIT_READ_BYTES);
	}
	assert_int_equal(client_read(&back, 1), SSL_ERROR_NONE);
	buf_fini(&back);
}

static void
rubbish_closes(void **state)
{
	(void)state;
	assert_int_equal(send(client_fd, "\x16rubbish rubbish rubbish", 24, 0), 24);
	turns_until(r, p.closed == 1);
	assert_int_equal(p.reason, CLOSE_TLS);
}

static void
giving_up_the_handshake_closes(void **state)
{
	(void)state;
	ERR_clear_error();
	assert_true(SSL_do_handshake(client) != 1);
	turns_until(r, conn_is_tls(p.conn));
	(void)close(client_fd);
	client_fd = -1;
	turns_until(r, p.closed == 1);
	assert_int_equal(p.reason, CLOSE_TLS);
}

/* Blocked writes are tried again with the same bytes while more is queued behind them. */
static void
a_slow_reader_gets_all_in_order(void **state)
{
	struct buf back = {0};
	unsigned n = 0, check = 0;
	int small = 16384;

	(void)state;
	handshake();
	turns_until(r, tls_established(p.conn));
	(void)setsockopt(p.conn->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	while (n < 40000) {
		struct run *run = run_create(64);

		run->len = (uint32_t)snprintf(run->bytes, 64, "%08u %0*u\n", n, 10 + (int)(n % 30), 0u);
		assert_int_equal(conn_queue(p.conn, run, 0, run->len, ON_FULL_KEEP), QUEUED);
		run_unref(run);
		if (++n % 1000 == 0) {
			reactor_turn(r, 0);
			(void)client_read(&back, buf_len(&back) + 20000);
		}
	}
	conn_finish(p.conn, CLOSE_DONE);
	assert_int_equal(client_read(&back, SIZE_MAX), SSL_ERROR_ZERO_RETURN); /* close_notify */
	for (const char *at = back.bytes; at < back.bytes + buf_len(&back); at = strchr(at, '\n') + 1)
		assert_int_equal(strtoul(at, NULL, 10), check++);
	assert_int_equal(check, n);
	assert_int_equal(p.closed, 0);
	(void)close(client_fd);
	client_fd = -1;
	turns_until(r, p.closed == 1);
	assert_int_equal(p.reason, CLOSE_DONE);
	buf_fini(&back);
}

/* A run that is tried again from where it lies may be gathered with others behind it by then. */
static void
a_blocked_run_may_get_others_behind_it(void **state)
{
	struct buf back = {0};
	size_t sent = 0;
	int small = 4096;

	(void)state;
	handshake();
	turns_until(r, tls_established(p.conn));
	(void)setsockopt(p.conn->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (unsigned n = 0; n < 150; n++) {
		uint32_t len = 1 + n * 7919 % 20000;
		struct run *run = run_create(len);

		for (run->len = 0; run->len < len; sent++)
			run->bytes[run->len++] = (char)(sent * 7 + sent / 256);
		assert_int_equal(conn_queue(p.conn, run, 0, run->len, ON_FULL_KEEP), QUEUED);
		run_unref(run);
		reactor_turn(r, 0);
		if (n % 10 == 9)
			(void)client_read(&back, buf_len(&back) + 30000);
	}
	conn_finish(p.conn, CLOSE_DONE);
	assert_int_equal(client_read(&back, SIZE_MAX), SSL_ERROR_ZERO_RETURN);
	assert_int_equal(buf_len(&back), sent);
	for (size_t i = 0; i < sent; i++)
		assert_int_equal(back.bytes[back.start + i], (char)(i * 7 + i / 256));
	buf_fini(&back);
}

static void
a_pause_holds_what_is_decrypted(void **state)
{
	static char lines[60000];

	(void)state;
	p.lines = true;
	p.pause_after = 1;
	memset(lines, 'l', sizeof(lines));
	for (size_t i = 9; i < sizeof(lines); i += 10)
		lines[i] = '\n';
	handshake();
	client_write(lines, sizeof(lines));
	turns_until(r, p.line_count == 1);
	turns_settle(r);
	assert_int_equal(p.line_count, 1);
	for (unsigned at = 100; at < 6000; at += 100) {
		p.pause_after = at;
		conn_resume(p.conn);
		turns_until(r, p.line_count == at);
	}
	p.pause_after = 0;
	conn_resume(p.conn);
	turns_until(r, p.line_count == 6000);
	assert_int_equal(buf_len(&p.got), sizeof(lines));
	assert_memory_equal(p.got.bytes, lines, sizeof(lines));
}

static void
the_peers_end_is_eof_and_answers_still_arrive(void **state)
{
	struct buf back = {0};

	(void)state;
	handshake();
	client_write("question", 8);
	assert_int_equal(SSL_shutdown(client), 0);
	turns_until(r, p.eofs == 1);
	assert_int_equal(buf_len(&p.got), 8);
	conn_write(p.conn, S("answer"));
	conn_finish(p.conn, CLOSE_DONE);
	assert_int_equal(client_read(&back, SIZE_MAX), SSL_ERROR_ZERO_RETURN);
	assert_int_equal(buf_len(&back), 6);
	assert_int_equal(p.closed, 1);
	assert_int_equal(p.reason, CLOSE_DONE);
	buf_fini(&back);
}

static void
an_end_without_close_notify_is_eof_too(void **state)
{
	(void)state;
	handshake();
	client_write("x", 1);
	assert_int_equal(shutdown(client_fd, SHUT_WR), 0);
	turns_until(r, p.eofs == 1);
	assert_int_equal(buf_len(&p.got), 1);
}

static void
finishing_during_the_handshake_closes(void **state)
{
	(void)state;
	ERR_clear_error();
	assert_true(SSL_do_handshake(client) != 1);
	turns_until(r, conn_is_tls(p.conn));
	conn_write(p.conn, S("never"));
	conn_finish(p.conn, CLOSE_LOGIN);
	turns_settle(r);
	assert_int_equal(p.closed, 1);
	assert_int_equal(p.reason, CLOSE_LOGIN);
}

/* What is said before the handshake's end is sent after it. */
static void
early_output_waits_for_the_handshake(void **state)
{
	struct buf back = {0};

	(void)state;
	ERR_clear_error();
	assert_true(SSL_do_handshake(client) != 1);
	turns_until(r, conn_is_tls(p.conn));
	conn_write(p.conn, S("early"));
	for (int i = 0; i < 10; i++)
		reactor_turn(r, 0);
	assert_int_equal(conn_out_bytes(p.conn), 5);
	handshake();
	assert_int_equal(client_read(&back, 5), SSL_ERROR_NONE);
	assert_memory_equal(back.bytes, "early", 5);
	buf_fini(&back);
}

static void
files_that_are_none_are_told(void **state)
{
	char error[200], missing[128];

	(void)state;
	(void)snprintf(missing, sizeof(missing), "%s/none.pem", dir);
	assert_null(tls_context_create(missing, key_file, error, sizeof(error)));
	assert_non_null(strstr(error, missing));
	assert_null(tls_context_create(cert_file, missing, error, sizeof(error)));
	assert_non_null(strstr(error, missing));
	assert_null(tls_context_create(key_file, key_file, error, sizeof(error)));
	assert_null(tls_context_create(cert_file, cert_file, error, sizeof(error)));
}

/* The serial number stays, the key changes: that is how the client tells them apart. */
static void
renewed_files_are_for_new_connections(void **state)
{
	char error[200], none[128];
	EVP_PKEY *first, *second;
	struct buf back = {0};

	(void)setup(state);
	p.echo = true;
	handshake();
	first = EVP_PKEY_dup(X509_get0_pubkey(SSL_get0_peer_certificate(client)));
	files_make();
	(void)snprintf(none, sizeof(none), "%s/none.pem", dir);
	assert_int_equal(tls_context_reload(context, none, none, error, sizeof(error)), -1);
	assert_non_null(strstr(error, none));
	assert_int_equal(tls_context_reload(context, cert_file, key_file, error, sizeof(error)), 0);
	client_write("old", 3); /* lives on */
	assert_int_equal(client_read(&back, 3), SSL_ERROR_NONE);
	buf_fini(&back);
	(void)teardown(state);

	(void)setup(state);
	handshake();
	second = X509_get0_pubkey(SSL_get0_peer_certificate(client));
	assert_int_equal(EVP_PKEY_eq(first, second), 0);
	EVP_PKEY_free(first);
	(void)teardown(state);
}

static void
a_listener_without_a_certificate_says_so(void **state)
{
	struct reactor *plain = reactor_create(1);
	struct probe q = {0};
	int far = tcp_probe(plain, &q);

	(void)state;
	assert_int_equal(conn_start_tls(q.conn, S("\x16")), -1);
	assert_false(conn_is_tls(q.conn));
	reactor_destroy(&plain);
	(void)close(far);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(round_trip),
		TEST(the_oldest_allowed_is_1_2),
		TEST(older_ones_fail),
		TEST(the_hello_may_come_in_pieces),
		TEST(records_without_content_wait_for_the_next_turn),
		TEST(rubbish_closes),
		TEST(giving_up_the_handshake_closes),
		TEST(a_slow_reader_gets_all_in_order),
		TEST(a_blocked_run_may_get_others_behind_it),
		TEST(a_pause_holds_what_is_decrypted),
		TEST(the_peers_end_is_eof_and_answers_still_arrive),
		TEST(an_end_without_close_notify_is_eof_too),
		TEST(finishing_during_the_handshake_closes),
		TEST(early_output_waits_for_the_handshake),
		cmocka_unit_test(files_that_are_none_are_told),
		cmocka_unit_test(renewed_files_are_for_new_connections),
		cmocka_unit_test(a_listener_without_a_certificate_says_so),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
