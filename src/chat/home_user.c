/* SPDX-License-Identifier: MIT */
/*
 * The home of users: knows a user's connections on every shard, and so who is online, whom an ended
 * session concerns, and where news for a user go.
 */
#include <stdlib.h>

#include "chat/mail.h"

struct attached {
	uint64_t peer, session;
	uint16_t shard;
	bool synced;
};

struct home_user {
	uint64_t user;
	struct attached *attached; /* owned */
	uint32_t count, synced;
	char *display; /* owned; NULL: the same as the name */
	char name[];
};

struct user_mail *
user_mail_create(struct shard *shard, enum mail_kind kind, uint64_t user)
{
	struct user_mail *mail = mem_zalloc(sizeof(*mail));

	mail->mail.kind = kind;
	mail->user = user;
	mail->from = shard->config.index;
	return mail;
}

void
user_mail_destroy(struct user_mail *mail)
{
	mem_free(mail->name);
	mem_free(mail->display);
	mem_free(mail);
}

static struct home_user *
home_user_create(const struct user_mail *mail)
{
	size_t len = strlen(mail->name) + 1;
	struct home_user *home = mem_zalloc(sizeof(*home) + len);

	home->user = mail->user;
	memcpy(home->name, mail->name, len);
	if (strcmp(mail->name, mail->display) != 0)
		home->display = mem_dup(slice_str(mail->display));
	return home;
}

static slice
home_user_display(const struct home_user *home)
{
	return slice_str(home->display != NULL ? home->display : home->name);
}

static void
home_user_destroy(struct home_user *home)
{
	mem_free(home->display);
	mem_free(home->attached);
	mem_free(home);
}

void
home_users_destroy(struct shard *shard)
{
	struct home_user *home;

	for (size_t at = 0; (home = map_next(&shard->home_users, &at)) != NULL;)
		home_user_destroy(home);
	map_fini(&shard->home_users);
}

/*
 * Whether the session ended while its connection was on its way here.  Where all but one ended,
 * those that were asked for later are not meant.
 */
static bool
was_revoked(const struct shard *shard, const struct user_mail *mail)
{
	for (size_t i = 0; i < LIMIT_REVOKED; i++) {
		const struct revoked *r = &shard->revoked[i];

		if (r->user != mail->user)
			continue;
		if (r->session != 0 ? r->session == mail->session
				    : r->except != mail->session && mail->at_ns < r->at_ns)
			return true;
	}
	return false;
}

void
user_attach(struct shard *shard, struct user_mail *mail)
{
	struct home_user *home = map_get(&shard->home_users, mail->user);
	uint32_t max = shard->config.limits.connections;

	mail->mail.kind = MAIL_ATTACHED;
	if (was_revoked(shard, mail)) {
		mail->fault.err = ERR_TOKEN_INVALID;
	} else if (home != NULL && home->count >= max) {
		mail->fault = (struct fault){.err = ERR_LIMIT, .max = max};
	} else {
		if (home == NULL) {
			home = home_user_create(mail);
			map_put(&shard->home_users, mail->user, home);
		}
		home->attached =
		    mem_resize(home->attached, home->count + 1, sizeof(*home->attached));
		home->attached[home->count++] = (struct attached){
		    .peer = mail->peer, .session = mail->session, .shard = (uint16_t)mail->from};
	}
	shard_post(shard, mail->from, &mail->mail);
}

/* session 0: any; a connection whose login was given up may be here twice for a moment. */
static struct attached *
attached_find(struct home_user *home, unsigned shard, uint64_t peer, uint64_t session)
{
	for (uint32_t i = 0; home != NULL && i < home->count; i++)
		if (home->attached[i].peer == peer && home->attached[i].shard == shard &&
		    (session == 0 || home->attached[i].session == session))
			return &home->attached[i];
	return NULL;
}

void
user_touch(struct shard *shard, uint64_t user, uint64_t session)
{
	struct op *op = op_create(OP_TOUCH);

	op->touch.user = user;
	op->touch.session = session;
	op->touch.seen = shard->real_ms;
	shard_submit(shard, op);
}

void
user_detach(struct shard *shard, struct user_mail *mail)
{
	struct home_user *home = map_get(&shard->home_users, mail->user);
	struct attached *gone = attached_find(home, mail->from, mail->peer, mail->session);

	if (gone != NULL) {
		home->synced -= gone->synced;
		user_touch(shard, home->user, gone->session);
		*gone = home->attached[--home->count];
		if (home->count == 0) {
			(void)map_remove(&shard->home_users, home->user);
			home_user_destroy(home);
		}
	}
	user_mail_destroy(mail);
}

void
user_synced(struct shard *shard, struct user_mail *mail)
{
	struct home_user *home = map_get(&shard->home_users, mail->user);
	struct attached *attached = attached_find(home, mail->from, mail->peer, mail->session);

	if (attached != NULL && !attached->synced) {
		attached->synced = true;
		home->synced++;
	}
	user_mail_destroy(mail);
}

void
user_rename(struct shard *shard, struct user_mail *mail)
{
	struct home_user *home = map_get(&shard->home_users, mail->user);

	if (home != NULL) {
		mem_free(home->display);
		home->display = mail->display;
		mail->display = NULL;
	}
	user_mail_destroy(mail);
}

/* --- News for a user's peers: one mail a shard --- */

/*
 * A copy of the mail, `size` bytes that begin with struct peers, for each shard that has peers of
 * the user that are meant.
 */
static void
peers_tell(struct shard *shard, const struct home_user *home, const struct peers *mail, size_t size,
    bool (*meant)(const struct attached *attached, const void *cookie), const void *cookie)
{
	for (unsigned to = 0; home != NULL && to < shard->config.count; to++) {
		char *block = mem_alloc(size + home->count * sizeof(uint64_t));
		struct peers *copy = (struct peers *)(void *)block;

		memcpy(block, mail, size);
		copy->ids = (uint64_t *)(void *)(block + size);
		copy->count = 0;
		for (uint32_t i = 0; i < home->count; i++)
			if (home->attached[i].shard == to && meant(&home->attached[i], cookie))
				copy->ids[copy->count++] = home->attached[i].peer;
		if (copy->count > 0)
			shard_post(shard, to, &copy->mail);
		else
			mem_free(block);
	}
}

static bool
is_synced(const struct attached *attached, const void *cookie)
{
	(void)cookie;
	return attached->synced;
}

/* Those that are syncing right now must hear of it too. */
static bool
is_any(const struct attached *attached, const void *cookie)
{
	(void)attached;
	(void)cookie;
	return true;
}

void
user_announce(struct shard *shard, struct user_mail *mail)
{
	const struct peers_mail news = {
	    .to = {.mail.kind = MAIL_ANNOUNCED, .user = mail->user},
	    .cid = mail->cid,
	    .seq = mail->seq,
	};

	peers_tell(
	    shard, map_get(&shard->home_users, mail->user), &news.to, sizeof(news), is_any, NULL);
	user_mail_destroy(mail);
}

void
user_mark(struct shard *shard, struct mark_mail *mail)
{
	mail->to.mail.kind = MAIL_MARKED;
	peers_tell(shard, map_get(&shard->home_users, mail->to.user), &mail->to, sizeof(*mail),
	    is_synced, NULL);
	mem_free(mail);
}

void
user_contact(struct shard *shard, struct contact_mail *mail)
{
	mail->to.mail.kind = MAIL_CONTACTED;
	peers_tell(shard, map_get(&shard->home_users, mail->to.user), &mail->to, sizeof(*mail),
	    is_synced, NULL);
	mem_free(mail);
}

static bool
is_ended(const struct attached *attached, const void *cookie)
{
	const struct user_mail *mail = cookie;

	if (attached->peer == mail->peer && attached->shard == mail->from)
		return false;
	return mail->session != 0 ? attached->session == mail->session
				  : attached->session != mail->except;
}

/* mail->peer: the connection that asked, which is not closed by this. */
void
user_revoke(struct shard *shard, struct user_mail *mail)
{
	const struct peers_mail kill = {.to = {.mail.kind = MAIL_KILL, .user = mail->user}};

	shard->revoked[shard->revoked_at++ % LIMIT_REVOKED] = (struct revoked){.user = mail->user,
	    .session = mail->session,
	    .except = mail->except,
	    .at_ns = mail->at_ns};
	peers_tell(
	    shard, map_get(&shard->home_users, mail->user), &kill.to, sizeof(kill), is_ended, mail);
	user_mail_destroy(mail);
}

void
user_verify(struct shard *shard, struct user_mail *mail)
{
	const struct home_user *home = map_get(&shard->home_users, mail->user);
	struct op *op;
	uint64_t *sessions;

	if (home != NULL) {
		op = op_create(OP_LIVE);
		sessions = op_alloc(op, home->count * sizeof(*sessions));
		for (uint32_t i = 0; i < home->count; i++)
			sessions[i] = home->attached[i].session;
		op->user = mail->user;
		op->live.sessions = sessions;
		op->live.want = home->count;
		shard_submit(shard, op);
	}
	user_mail_destroy(mail);
}

/* --- Who is here --- */

void
user_with_online(struct shard *shard, struct op *op)
{
	const struct home_user *home = map_get(&shard->home_users, op->user);
	uint32_t count = home != NULL ? home->count : 0;
	uint64_t *online = op_alloc(op, (count + 1) * sizeof(*online));

	for (uint32_t i = 0; i < count; i++)
		online[i] = home->attached[i].session;
	if (op->kind == OP_SESSIONS) {
		op->sessions.online = online;
		op->sessions.online_count = count;
	} else {
		op->session.online = online;
		op->session.online_count = count;
	}
	op->mail.kind = MAIL_OP_DONE;
	op->shard = op->origin;
	if (op->kind == OP_LOGIN && count >= shard->config.limits.connections) {
		/* Now, before a session is made that could not be used and for which another would
		 * go. */
		op->fault =
		    (struct fault){.err = ERR_LIMIT, .max = shard->config.limits.connections};
		shard_post(shard, op->origin, &op->mail);
		return;
	}
	shard->config.ports.submit(shard->config.ports.cookie, op);
}

static int
online_order(const void *a, const void *b)
{
	const struct online_record *x = a, *y = b;

	return slice_cmp(slice_str(x->name), slice_str(y->name));
}

/*
 * Keeps the first `limit` + 1 names behind `after`, or everyone: gathers up to twice as many, then
 * sorts and cuts.  Every match counts as online.
 */
static void
query_found(struct query_mail *mail, const struct home_user *home)
{
	size_t keep = mail->everyone ? mail->user_count : (size_t)mail->limit + 1;
	struct online_record *item;

	mail->online++;
	if (!mail->everyone && slice_cmp(slice_str(home->name), slice_str(mail->after)) <= 0)
		return;
	if (mail->items == NULL)
		mail->items = mem_alloc(2 * keep * sizeof(*mail->items));
	if (mail->count == 2 * keep) {
		qsort(mail->items, mail->count, sizeof(*mail->items), online_order);
		while (mail->count > keep)
			mem_free(mail->items[--mail->count].display);
	}
	item = &mail->items[mail->count++];
	item->user = home->user;
	(void)snprintf(item->name, sizeof(item->name), "%s", home->name);
	item->display = mem_dup(home_user_display(home));
}

/* Users that follow a conversation on this shard, each once. */
static int
id_order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
query_conv(struct shard *shard, struct query_mail *mail)
{
	const struct topic *topic = topic_find(shard, mail->cid);
	size_t count = 0;

	if (topic == NULL)
		return;
	mail->users = mem_alloc(topic->stream_count * sizeof(*mail->users));
	for (uint32_t i = 0; i < topic->stream_count; i++)
		mail->users[i] = shard->peers[topic->streams[i].peer]->user;
	qsort(mail->users, topic->stream_count, sizeof(*mail->users), id_order);
	for (uint32_t i = 0; i < topic->stream_count; i++)
		if (count == 0 || mail->users[i] != mail->users[count - 1])
			mail->users[count++] = mail->users[i];
	mail->user_count = count;
}

void
user_query(struct shard *shard, struct query_mail *mail)
{
	struct home_user *home;

	switch (mail->what) {
	case QUERY_ALL:
		for (size_t at = 0; (home = map_next(&shard->home_users, &at)) != NULL;)
			if (home->synced > 0)
				query_found(mail, home);
		break;
	case QUERY_CONV:
		query_conv(shard, mail);
		break;
	case QUERY_USERS:
		for (size_t i = 0; i < mail->user_count; i++)
			if ((home = map_get(&shard->home_users, mail->users[i])) != NULL &&
			    home->synced > 0)
				query_found(mail, home);
		break;
	}
	mail->mail.kind = MAIL_RESULT;
	shard_post(shard, mail->from, &mail->mail);
}

void
query_mail_destroy(struct query_mail *mail)
{
	for (size_t i = 0; i < mail->count; i++)
		mem_free(mail->items[i].display);
	mem_free(mail->items);
	mem_free(mail->users);
	mem_free(mail);
}
