/* SPDX-License-Identifier: MIT */
/*
 * TLS by OpenSSL over a BIO of our own: it reads first what had arrived before anyone knew that it was
 * TLS, then the socket; it writes without raising SIGPIPE, and counts what the socket carries.
 */
#include "net/tls.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "net/net_internal.h"

struct tls_context {
	pthread_mutex_t lock; /* a leaf, held while a reference is taken */
	SSL_CTX *ssl;	      /* connections hold references to what was here when they began */
};

struct tls {
	SSL *ssl;
	struct buf seen;
	size_t allowance; /* what may still be taken off the socket until tls_allow() */
};

/* --- The BIO --- */

static BIO_METHOD *bio_method;
static pthread_once_t bio_method_once = PTHREAD_ONCE_INIT;

static int
bio_read(BIO *bio, char *to, size_t size, size_t *ret_len)
{
	struct conn *conn = BIO_get_data(bio);
	struct buf *seen = &conn->tls->seen;
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (buf_len(seen) > 0) {
		*ret_len = buf_len(seen) < size ? buf_len(seen) : size;
		memcpy(to, buf_head(seen), *ret_len);
		buf_consume(seen, *ret_len);
		if (buf_len(seen) == 0)
			buf_fini(seen);
		return 1;
	}
	*ret_len = 0;
	if (conn->tls->allowance == 0) {
		BIO_set_retry_read(bio);
		return 0;
	}
	n = recv(conn->fd, to, size < conn->tls->allowance ? size : conn->tls->allowance, 0);
	if (n > 0) {
		conn->reactor->bytes_in += (uint64_t)n;
		conn->tls->allowance -= (size_t)n;
		*ret_len = (size_t)n;
		return 1;
	}
	if (n == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	else if (errno == EAGAIN || errno == EINTR)
		BIO_set_retry_read(bio);
	return 0;
}

static int
bio_write(BIO *bio, const char *bytes, size_t len, size_t *ret_len)
{
	struct conn *conn = BIO_get_data(bio);
	ssize_t n = send(conn->fd, bytes, len, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	conn->reactor->writes++;
	*ret_len = n > 0 ? (size_t)n : 0;
	if (n > 0) {
		conn->reactor->bytes_out += (uint64_t)n;
		if (conn->out != NULL)
			conn->out->accepted_ms = conn->reactor->now_ms;
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return 0;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	default:
		return 0;
	}
}

static void
bio_method_make(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "confab connection");
	if (bio_method == NULL || BIO_meth_set_read_ex(bio_method, bio_read) != 1 ||
	    BIO_meth_set_write_ex(bio_method, bio_write) != 1 ||
	    BIO_meth_set_ctrl(bio_method, bio_ctrl) != 1)
		panic("OpenSSL does not take a BIO method");
}

/* --- One connection --- */

int
tls_open(struct conn *conn, struct tls_context *context, slice seen)
{
	struct tls *tls;
	BIO *bio;

	if (context == NULL)
		return -1;
	(void)pthread_once(&bio_method_once, bio_method_make);
	tls = mem_zalloc(sizeof(*tls));
	(void)pthread_mutex_lock(&context->lock);
	tls->ssl = SSL_new(context->ssl);
	(void)pthread_mutex_unlock(&context->lock);
	bio = BIO_new(bio_method);
	if (tls->ssl == NULL || bio == NULL)
		panic("out of memory: a TLS session was wanted");
	BIO_set_data(bio, conn);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_accept_state(tls->ssl);
	buf_put(&tls->seen, seen);
	conn->tls = tls;
	tls_allow(conn);
	return 0;
}

static enum tls_result
tls_why(struct conn *conn, int returned)
{
	switch (SSL_get_error(conn->tls->ssl, returned)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_EOF;
	default:
		return TLS_FAILED;
	}
}

void
tls_allow(struct conn *conn)
{
	conn->tls->allowance = LIMIT_TLS_READ_BYTES;
}

size_t
tls_read(struct conn *conn, char *to, size_t size, enum tls_result *ret_result)
{
	size_t len = 0;
	int returned;

	ERR_clear_error();
	returned = SSL_read_ex(conn->tls->ssl, to, size, &len);
	if (returned == 1)
		return len;
	*ret_result = tls_why(conn, returned);
	return 0;
}

size_t
tls_write(struct conn *conn, const char *bytes, size_t len, enum tls_result *ret_result)
{
	size_t written = 0;
	int returned;

	ERR_clear_error();
	returned = SSL_write_ex(conn->tls->ssl, bytes, len, &written);
	if (returned == 1)
		return written;
	*ret_result = tls_why(conn, returned);
	return 0;
}

enum tls_result
tls_finish(struct conn *conn)
{
	int returned;

	ERR_clear_error();
	returned = SSL_shutdown(conn->tls->ssl);
	return returned >= 0 ? TLS_DONE : tls_why(conn, returned);
}

bool
tls_pending(const struct conn *conn)
{
	return SSL_has_pending(conn->tls->ssl) == 1 || buf_len(&conn->tls->seen) > 0;
}

bool
tls_established(const struct conn *conn)
{
	return SSL_is_init_finished(conn->tls->ssl) == 1;
}

void
tls_free(struct conn *conn)
{
	SSL_free(conn->tls->ssl);
	buf_fini(&conn->tls->seen);
	mem_free(conn->tls);
	conn->tls = NULL;
}

/* --- The listener's certificate --- */

static void
error_text(char *ret_error, size_t size, const char *what, const char *file)
{
	unsigned long error = ERR_peek_last_error();
	const char *why = error != 0 ? ERR_reason_error_string(error) : NULL;

	(void)snprintf(ret_error, size, "%s %s: %s", what, file, why != NULL ? why : "not usable");
}

static SSL_CTX *
ssl_create(const char *cert_file, const char *key_file, char *ret_error, size_t error_size)
{
	SSL_CTX *ssl;

	ERR_clear_error();
	if ((ssl = SSL_CTX_new(TLS_server_method())) == NULL) {
		error_text(ret_error, error_size, "TLS", "does not start");
		return NULL;
	}
	(void)SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	/* A peer that ends without close_notify ends all the same: frames say themselves where they end. */
	(void)SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
	(void)SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	    SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF); /* tickets carry the state */
	SSL_CTX_set_read_ahead(ssl, 1);
	if (SSL_CTX_use_certificate_chain_file(ssl, cert_file) != 1)
		error_text(ret_error, error_size, "certificate", cert_file);
	else if (SSL_CTX_use_PrivateKey_file(ssl, key_file, SSL_FILETYPE_PEM) != 1)
		error_text(ret_error, error_size, "private key", key_file);
	else if (SSL_CTX_check_private_key(ssl) != 1)
		error_text(ret_error, error_size, "private key", key_file);
	else
		return ssl;
	SSL_CTX_free(ssl);
	return NULL;
}

struct tls_context *
tls_context_create(const char *cert_file, const char *key_file, char *ret_error, size_t error_size)
{
	SSL_CTX *ssl = ssl_create(cert_file, key_file, ret_error, error_size);
	struct tls_context *context;

	if (ssl == NULL)
		return NULL;
	context = mem_zalloc(sizeof(*context));
	(void)pthread_mutex_init(&context->lock, NULL);
	context->ssl = ssl;
	return context;
}

int
tls_context_reload(struct tls_context *context, const char *cert_file, const char *key_file,
    char *ret_error, size_t error_size)
{
	SSL_CTX *ssl = ssl_create(cert_file, key_file, ret_error, error_size), *before;

	if (ssl == NULL)
		return -1;
	(void)pthread_mutex_lock(&context->lock);
	before = context->ssl;
	context->ssl = ssl;
	(void)pthread_mutex_unlock(&context->lock);
	SSL_CTX_free(before);
	return 0;
}

void
tls_context_destroy(struct tls_context **context)
{
	if (*context == NULL)
		return;
	SSL_CTX_free((*context)->ssl);
	(void)pthread_mutex_destroy(&(*context)->lock);
	mem_free(*context);
	*context = NULL;
}
