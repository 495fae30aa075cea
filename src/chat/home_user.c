/* SPDX-License-Identifier: MIT */
/*
 * The home of users: knows a user's connections on every shard, and so who is online, whom an ended
 * session concerns, and where news for a user go.
 */
#include "chat/cluster.h"

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
	mem_free(mail->text);
	mem_free(mail);
}

void
home_say(struct home_user *home, slice display, slice text)
{
	char *old = home->said, *said = NULL;

	if (slice_eq(slice_str(home->name), display))
		display.len = 0;
	if (display.len > 0 || text.len > 0) {
		said = mem_zalloc(display.len + text.len + 2);
		if (display.len > 0)
			memcpy(said, display.ptr, display.len);
		if (text.len > 0)
			memcpy(said + display.len + 1, text.ptr, text.len);
	}
	home->said = said;
	mem_free(old); /* what was given may lie there */
}

slice
home_display(const struct home_user *home)
{
	return slice_str(home->said != NULL && home->said[0] != '\0' ? home->said : home->name);
}

slice
home_text(const struct home_user *home)
{
	const char *text = home->said != NULL ? home->said + strlen(home->said) + 1 : "";

	return text[0] != '\0' ? slice_str(text) : SLICE_NONE;
}

static struct home_user *
home_user_create(struct shard *shard, uint64_t user, slice name, slice display)
{
	struct home_user *home = mem_zalloc(offsetof(struct home_user, name) + name.len + 1);

	home->user = user;
	home->told = PRESENCE_OFFLINE;
	memcpy(home->name, name.ptr, name.len);
	home_say(home, display, SLICE_NONE);
	map_put(&shard->home_users, user, home);
	return home;
}

void
home_user_afar(struct shard *shard, const struct afar_user *user)
{
	struct home_user *home = map_get(&shard->home_users, user->user);

	if (home == NULL)
		home = home_user_create(shard, user->user, user->name, user->display);
	if (home->count > 0)
		return;
	home_say(home, user->display, home_text(home));
	home_presence(home, PRESENCE_ONLINE, user->text);
	home->known = false;
}

void
home_user_destroy(struct home_user *home)
{
	mem_free(home->said);
	if (home->count > 1)
		mem_free(home->attached.many);
	mem_free(home);
}

void
home_users_destroy(struct shard *shard)
{
	struct home_user *home;

	home_leavings_destroy(shard);
	for (size_t at = 0; (home = map_next(&shard->home_users, &at)) != NULL;)
		home_user_destroy(home);
	map_fini(&shard->home_users);
}

/*
 * Whether the session ended while its connection was on its way here.  Where all but one ended,
 * those that were asked for later are not meant; if that happened on another node, the store knows
 * which was later: *ret_doubt.
 */
static bool
was_revoked(const struct shard *shard, const struct user_mail *mail, bool *ret_doubt)
{
	*ret_doubt = false;
	for (size_t i = 0; i < LIMIT_REVOKED; i++) {
		const struct revoked *r = &shard->revoked[i];

		if (r->user != mail->user)
			continue;
		if (r->session != 0
			? r->session != mail->session
			: r->except == mail->session || mail->at_ns >= r->at_ns + r->heard)
			continue;
		if (r->session != 0 || !r->heard)
			return true;
		*ret_doubt = true;
	}
	return false;
}

static void
attached_add(struct home_user *home, const struct attached *attached)
{
	struct attached *many = home->count > 1 ? home->attached.many : NULL;

	if (home->count == 0) {
		home->attached.one = *attached;
	} else {
		many = mem_resize(many, home->count + 1, sizeof(*many));
		if (home->count == 1)
			many[0] = home->attached.one;
		many[home->count] = *attached;
		home->attached.many = many;
	}
	home->count++;
}

static void
attached_drop(struct home_user *home, struct attached *gone)
{
	struct attached *many = home->attached.many;

	*gone = *home_nth(home, home->count - 1);
	if (home->count-- == 2) {
		struct attached one = many[0];

		mem_free(many);
		home->attached.one = one;
	}
}

void
user_attach(struct shard *shard, struct user_mail *mail)
{
	struct home_user *home = map_get(&shard->home_users, mail->user);
	uint32_t max = shard->config.limits.connections;
	bool doubt;

	mail->mail.kind = MAIL_ATTACHED;
	if (was_revoked(shard, mail, &doubt)) {
		mail->fault.err = ERR_TOKEN_INVALID;
	} else if (home != NULL && home->count >= max) {
		mail->fault = (struct fault){.err = ERR_LIMIT, .max = max};
	} else {
		if (home == NULL)
			home = home_user_create(
			    shard, mail->user, slice_str(mail->name), slice_str(mail->display));
		if (home->count == 0)
			cluster_interest(shard, RING_USER, mail->user, true);
		attached_add(home, &(struct attached){.peer = mail->peer,
				       .session = mail->session,
				       .shard = (uint16_t)mail->from});
		afar_news(shard, mail->user);
		if (doubt || cluster_doubts(shard, mail->at_ns))
			shard_post(shard, shard->config.index,
			    &user_mail_create(shard, MAIL_VERIFY, mail->user)->mail);
	}
	shard_post(shard, mail->from, &mail->mail);
}

/* A connection whose login was given up may be here twice for a moment. */
struct attached *
home_attached(struct home_user *home, unsigned shard, uint64_t peer, uint64_t session)
{
	struct attached *all = NULL;

	if (home != NULL)
		all = home->count > 1 ? home->attached.many : &home->attached.one;
	for (uint32_t i = 0; home != NULL && i < home->count; i++)
		if (all[i].peer == peer && all[i].shard == shard &&
		    (session == 0 || all[i].session == session))
			return &all[i];
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
	struct attached *gone = home_attached(home, mail->from, mail->peer, mail->session);

	if (gone != NULL) {
		home->synced -= gone->synced;
		if (gone->synced && home->synced == 0)
			gauge_add(GAUGE_ONLINE, -1);
		user_touch(shard, home->user, gone->session);
		attached_drop(home, gone);
		afar_news(shard, home->user);
		if (home->count == 0) {
			home->known = false;
			cluster_interest(shard, RING_USER, home->user, false);
		}
		home_show(shard, home);
		home_user_release(shard, home);
	}
	user_mail_destroy(mail);
}

void
user_synced(struct shard *shard, struct user_mail *mail)
{
	struct home_user *home = map_get(&shard->home_users, mail->user);
	struct attached *attached = home_attached(home, mail->from, mail->peer, mail->session);

	if (attached != NULL && (!attached->synced || !home->known)) {
		if (!attached->synced && home->synced == 0)
			gauge_add(GAUGE_ONLINE, 1);
		home->synced += !attached->synced;
		attached->synced = true;
		if (!home->known)
			home_presence(home, mail->presence, slice_str(mail->text));
		afar_news(shard, home->user);
		home_show(shard, home);
	}
	user_mail_destroy(mail);
}

void
user_rename(struct shard *shard, struct user_mail *mail)
{
	struct home_user *home = map_get(&shard->home_users, mail->user);

	if (home != NULL) {
		home_say(home, slice_str(mail->display), home_text(home));
		if (home->count > 0)
			afar_news(shard, home->user);
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
			if (home_nth(home, i)->shard == to && meant(home_nth(home, i), cookie))
				copy->ids[copy->count++] = home_nth(home, i)->peer;
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
	if (mail->news != NEWS_NONE &&
	    cluster_contact_is_old(shard, mail->to.user, mail->other, mail->order))
		mail->news = NEWS_NONE;
	peers_tell(shard, map_get(&shard->home_users, mail->to.user), &mail->to, sizeof(*mail),
	    is_any, NULL);
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
	bool asks = mail->heard && mail->session == 0;
	const struct peers_mail kill = {.to = {.mail.kind = MAIL_KILL, .user = mail->user}};

	shard->revoked[shard->revoked_at++ % LIMIT_REVOKED] = (struct revoked){.user = mail->user,
	    .session = mail->session,
	    .except = mail->except,
	    .heard = mail->heard,
	    .at_ns = mail->at_ns};
	if (asks) { /* a session that was made since is not meant */
		user_verify(shard, mail);
		return;
	}
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

	if (home != NULL && home->count > 0) {
		op = op_create(OP_LIVE);
		sessions = op_alloc(op, home->count * sizeof(*sessions));
		for (uint32_t i = 0; i < home->count; i++)
			sessions[i] = home_nth(home, i)->session;
		op->user = mail->user;
		op->live.sessions = sessions;
		op->live.want = home->count;
		shard_submit(shard, op);
	}
	user_mail_destroy(mail);
}

/* --- Which sessions have a connection --- */

void
user_with_online(struct shard *shard, struct op *op)
{
	const struct home_user *home = map_get(&shard->home_users, op->user);
	uint32_t here = home != NULL ? home->count : 0;
	size_t count = here + afar_sessions(shard, op->user, NULL);
	uint64_t *online = op_alloc(op, (count + 1) * sizeof(*online));

	for (uint32_t i = 0; i < here; i++)
		online[i] = home_nth(home, i)->session;
	(void)afar_sessions(shard, op->user, online + here);
	if (op->kind == OP_SESSIONS) {
		op->sessions.online = online;
		op->sessions.online_count = count;
	} else {
		op->session.online = online;
		op->session.online_count = count;
	}
	op->mail.kind = MAIL_OP_DONE;
	op->shard = op->origin;
	if (op->kind == OP_LOGIN && here >= shard->config.limits.connections) {
		/* Now, before a session is made that could not be used and for which another would
		 * go. */
		op->fault =
		    (struct fault){.err = ERR_LIMIT, .max = shard->config.limits.connections};
		shard_post(shard, op->origin, &op->mail);
		return;
	}
	shard->config.ports.submit(shard->config.ports.cookie, op);
}
