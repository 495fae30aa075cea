/* SPDX-License-Identifier: MIT */
/*
 * The end of an account:  AUTH → verify → CLOSE, and then everyone is told: the conversations of
 * what was logged there, his contacts, and all of his connections, which end.
 */
#include "chat/cluster.h"
#include "chat/names.h"
#include "chat/rates.h"

struct closing {
	char *password; /* owned, wiped at the end */
	size_t password_len;
	struct toll toll; /* what was paid for the attempt */
};

static void
closing_free(void *context)
{
	struct closing *closing = context;

	explicit_bzero(closing->password, closing->password_len);
	mem_free(closing->password);
	mem_free(closing);
}

void
chat_account_delete(struct peer *peer, const struct call_tag *tag, slice password)
{
	struct call *call = call_begin(peer, tag, true);
	struct closing *closing;
	struct toll toll;
	struct fault fault;
	struct op *op;

	if (!peer_check(call))
		return;
	if (password.len > PASSWORD_MAX_BYTES) {
		call_fault(call,
		    (struct fault){
			.err = ERR_TOO_LARGE, .param = "password", .max = PASSWORD_MAX_BYTES});
		return;
	}
	toll = toll_password(peer, peer_name(peer));
	if ((fault = toll_pay(peer->shard, &toll, 1)).err != ERR_OK) {
		call_fault(call, fault);
		return;
	}
	closing = mem_zalloc(sizeof(*closing));
	closing->password = mem_dup(password);
	closing->password_len = password.len;
	closing->toll = toll;
	call->context = closing;
	call->context_free = closing_free;
	op = op_create(OP_AUTH);
	op->call = call->id;
	op->user = op->auth.uid = peer->user;
	op->context = 1; /* account_op_done() */
	shard_submit(peer->shard, op);
}

/* What was no fault of the attempt is paid back. */
static void
closing_fault(struct call *call, struct fault fault)
{
	struct closing *closing = call->context;

	if (fault.err != ERR_BAD_CREDENTIALS)
		toll_refund(call->peer->shard, &closing->toll);
	call_fault(call, fault);
}

static void
verify_begin(struct call *call, const struct op *op)
{
	const struct closing *closing = call->context;
	struct shard *shard = call->peer->shard;
	struct hash_job *job;

	if (!op->auth.found) { /* disabled or ended meanwhile; the connection is about to go */
		closing_fault(call, (struct fault){.err = ERR_SESSION_REVOKED});
		return;
	}
	job = mem_zalloc(sizeof(*job));
	job->mail.kind = MAIL_CLOSE_HASHED;
	job->shard = (uint16_t)shard->config.index;
	job->call = call->id;
	job->password = mem_dup(slice_of(closing->password, closing->password_len));
	job->password_len = closing->password_len;
	assert(op->auth.password_hash.len < sizeof(job->verify));
	memcpy(job->verify, op->auth.password_hash.ptr, op->auth.password_hash.len);
	shard->config.ports.hash(shard->config.ports.cookie, job);
}

static void
close_begin(struct call *call, const struct hash_job *job)
{
	struct closing *closing = call->context;
	struct op *op;

	if (job->busy) {
		stat_add(STAT_HASH_BUSY, 1);
		closing_fault(call, (struct fault){.err = ERR_BUSY, .retry_after_ms = 1000});
		return;
	}
	if (!job->verified) {
		closing_fault(call, (struct fault){.err = ERR_BAD_CREDENTIALS});
		return;
	}
	toll_refund(call->peer->shard, &closing->toll);
	op = op_create(OP_CLOSE);
	op->call = call->id;
	op->user = call->peer->user;
	op->close.name = op_copy(op, peer_name(call->peer));
	op->close.password_hash = op_copy(op, slice_str(job->verify));
	shard_submit(call->peer->shard, op);
}

void
account_hashed(struct shard *shard, struct hash_job *job)
{
	struct call *call = call_find(shard, job->call);

	if (call != NULL)
		close_begin(call, job);
	explicit_bzero(job->password, job->password_len);
	mem_free(job->password);
	mem_free(job);
}

/* --- It is over --- */

static void
entries_publish(struct shard *shard, const struct op *op)
{
	for (size_t i = 0; i < op->close.count; i++) {
		struct entry *entry = op->close.entries[i];
		struct conv_mail *mail =
		    committed_mail(entry->cid, entry->seq, &(struct conv_facts){0});

		mail->entries[0] = entry_ref(entry);
		mail->count = 1;
		shard_post(shard, shard_of(shard, entry->cid), &mail->mail);
	}
}

static void
contacts_tell(struct shard *shard, const struct op *op)
{
	for (size_t i = 0; i < op->close.contact_count; i++)
		contact_tell(shard, op->close.contacts[i],
		    &(struct contact_told){
			.uid = op->user, .user = op->close.name, .news = NEWS_REMOVED});
}

/* All of them; the asking one has its answer by then. */
static void
sessions_end(struct shard *shard, const struct op *op)
{
	struct user_mail *mail = user_mail_create(shard, MAIL_REVOKE, op->user);

	mail->at_ns = shard->mono_ns;
	cluster_tell(shard, RING_USER, op->user, &mail->mail);
}

/* What every shard keeps of the log has his name in it. */
static void
name_forget(struct shard *shard, const struct op *op)
{
	struct user_mail *mail = user_mail_create(shard, MAIL_GONE, op->user);

	cluster_ring(shard, RING_ALL, 0, &mail->mail);
	user_mail_destroy(mail);
	for (unsigned to = 0; to < shard->config.count; to++)
		shard_post(shard, to, &user_mail_create(shard, MAIL_GONE, op->user)->mail);
}

static bool
page_is_of(const struct page *page, uint64_t user)
{
	for (size_t i = 0; i < page->count; i++)
		if (page->entries[i]->sender == user)
			return true;
	return false;
}

static void
facts_forget(struct topic *topic, uint64_t user)
{
	struct conv_facts facts = topic->facts;
	char *old = topic->text;

	if (facts.kind != CONV_DIRECT || (facts.lo != user && facts.hi != user))
		return;
	*(facts.lo == user ? &facts.lo_name : &facts.hi_name) = S("deleted");
	topic->facts = facts_copy(&facts, &topic->text);
	mem_free(old);
	for (struct list *at = topic->pages.next; at != &topic->pages; at = at->next)
		page_forget_runs(container_of(at, struct page, of_topic));
}

void
account_gone(struct shard *shard, struct user_mail *mail)
{
	for (struct list *at = shard->pages.next, *next; at != &shard->pages; at = next) {
		struct page *page = container_of(at, struct page, by_use);

		next = at->next;
		if (page_is_of(page, mail->user))
			page_destroy(shard, page);
	}
	for (uint32_t i = 0; i < shard->topic_capacity; i++)
		if (shard->topics[i] != NULL)
			facts_forget(shard->topics[i], mail->user);
	user_mail_destroy(mail);
}

/* Whether or not he who asked is still there. */
static void
close_tell(struct shard *shard, const struct op *op)
{
	struct user_mail *mail;

	if (op->fault.err == ERR_OK) {
		entries_publish(shard, op);
		contacts_tell(shard, op);
		name_forget(shard, op);
		sessions_end(shard, op);
	} else if (op->fault.err == ERR_UNKNOWN_OUTCOME) {
		/* The store knows whether the sessions are still there. */
		mail = user_mail_create(shard, MAIL_VERIFY, op->user);
		cluster_tell(shard, RING_USER, op->user, &mail->mail);
	}
}

void
account_op_done(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);

	if (op->kind == OP_CLOSE)
		close_tell(shard, op);
	if (call != NULL && op->fault.err != ERR_OK) {
		closing_fault(call, op->fault);
	} else if (call != NULL && op->kind == OP_AUTH) {
		verify_begin(call, op);
	} else if (call != NULL) {
		struct peer *peer = call->peer;

		call_done(call);
		peer_kill(peer, GOAWAY_REVOKED);
	}
	op_destroy(&op);
}
