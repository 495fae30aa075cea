/* SPDX-License-Identifier: MIT */
/*
 * Users who are connected to other nodes.  Each shard tells of the users that it is home of, as their
 * connections here show them, on the channel of all nodes; each shard keeps what it hears of the
 * users that it is home of, node by node, and a user shows the best of it.
 *
 * A shard's rings are numbered, and one comes every few seconds even if there is nothing to tell, so
 * that whoever missed one knows soon.  He asks, and is told of all users, from a ring that begins to
 * one that ends; whom that does not name is gone.
 */
#include "chat/cluster.h"

#include <stdlib.h>

enum {
	LIMIT_SOURCES = 4096,       /* shards of other nodes */
	LIMIT_AFAR_USERS = 1 << 20, /* whom one shard knows elsewhere; more are not seen */
	BEAT_MS = 5000,             /* so often a ring at least */
	ASK_MS = 1000,
	ASK_SPREAD_MS = 2000, /* so long after a question until the next */
	TELL_TICKS = 8,       /* in about so many seconds all users are told */
	TELL_RINGS_MIN = 4,   /* in one second, if there are so many */
	USER_RING_BYTES = 64, /* in a ring, beside texts and sessions */
};

/* A shard of another node. */
struct source {
	char key[NODE_NAME_BYTES + 4]; /* the node's name, and which shard */
	char node[NODE_NAME_BYTES];
	uint32_t part;
	uint64_t life, number;
	uint64_t ask_ms; /* not before */
	uint32_t round;  /* users that this telling did not name are gone at its end */
	bool telling;    /* all users are being told, and nothing was missed since it began */
	bool whole;      /* they were, and nothing was missed since */
	bool gone;
};

/* A user on one node. */
struct afar {
	struct source *source; /* borrowed */
	uint32_t round;
	uint8_t state; /* enum presence */
	uint32_t session_count;
	uint64_t *sessions; /* owned */
};

struct afar_set {
	uint64_t user;
	uint32_t count;
	struct afar *at; /* owned */
};

struct afar_table {
	struct map users;    /* owned struct afar_set, by user */
	struct smap sources; /* owned, by key */
	struct map news;     /* by user: whose connections here show something else now */
	uint64_t life, number;
	uint64_t beat_ms;
	bool tell; /* somebody asked for all users */
	bool telling;
	uint64_t *telling_users; /* owned: who is told now, and how far that is */
	size_t telling_count, telling_at;
};

/* --- What is known --- */

static struct afar_set *
afar_set(const struct shard *shard, uint64_t user)
{
	return shard->cluster != NULL ? map_get(&shard->cluster->afar->users, user) : NULL;
}

bool
afar_has(const struct shard *shard, uint64_t user)
{
	return afar_set(shard, user) != NULL;
}

bool
afar_is_there(const struct shard *shard, uint64_t user)
{
	const struct afar_set *set = afar_set(shard, user);

	for (uint32_t i = 0; set != NULL && i < set->count; i++)
		if (set->at[i].state != PRESENCE_OFFLINE)
			return true;
	return false;
}

static unsigned
state_rank(enum presence state)
{
	switch (state) {
	case PRESENCE_BUSY:
		return 3;
	case PRESENCE_ONLINE:
		return 2;
	case PRESENCE_AWAY:
		return 1;
	case PRESENCE_INVISIBLE:
	case PRESENCE_OFFLINE:
		break;
	}
	return 0;
}

enum presence
afar_shows(const struct shard *shard, uint64_t user, enum presence here)
{
	const struct afar_set *set = afar_set(shard, user);
	enum presence best = here;

	for (uint32_t i = 0; set != NULL && i < set->count; i++)
		if (state_rank((enum presence)set->at[i].state) > state_rank(best))
			best = (enum presence)set->at[i].state;
	return best;
}

size_t
afar_sessions(const struct shard *shard, uint64_t user, uint64_t *ret)
{
	const struct afar_set *set = afar_set(shard, user);
	size_t count = 0;

	for (uint32_t i = 0; set != NULL && i < set->count; i++) {
		if (ret != NULL)
			memcpy(ret + count, set->at[i].sessions,
			    set->at[i].session_count * sizeof(*ret));
		count += set->at[i].session_count;
	}
	return count;
}

static void
set_destroy(struct afar_set *set)
{
	for (uint32_t i = 0; i < set->count; i++)
		mem_free(set->at[i].sessions);
	mem_free(set->at);
	mem_free(set);
}

static void
user_shows(struct shard *shard, uint64_t user)
{
	struct home_user *home = map_get(&shard->home_users, user);

	if (home == NULL)
		return;
	home_show(shard, home);
	home_user_release(shard, home);
}

/* At `at` of the set; which goes with its last. */
static void
afar_remove(struct shard *shard, struct afar_set *set, uint32_t at)
{
	mem_free(set->at[at].sessions);
	set->at[at] = set->at[--set->count];
	gauge_add(GAUGE_AFAR, -1);
	if (set->count > 0)
		return;
	(void)map_remove(&shard->cluster->afar->users, set->user);
	set_destroy(set);
}

static struct afar *
afar_find(struct afar_set *set, const struct source *source)
{
	for (uint32_t i = 0; set != NULL && i < set->count; i++)
		if (set->at[i].source == source)
			return &set->at[i];
	return NULL;
}

/* NULL: there are too many. */
static struct afar *
afar_make(struct shard *shard, uint64_t user, struct source *source)
{
	struct map *users = &shard->cluster->afar->users;
	struct afar_set *set = map_get(users, user);

	if (set == NULL && users->count >= LIMIT_AFAR_USERS) {
		stat_add(STAT_DROP_AFAR, 1);
		return NULL;
	}
	if (set == NULL) {
		set = mem_zalloc(sizeof(*set));
		set->user = user;
		map_put(users, user, set);
	}
	set->at = mem_resize(set->at, set->count + 1, sizeof(*set->at));
	set->at[set->count] = (struct afar){.source = source};
	gauge_add(GAUGE_AFAR, 1);
	return &set->at[set->count++];
}

static void
afar_put(struct shard *shard, struct source *source, const struct afar_user *user)
{
	struct afar_set *set = afar_set(shard, user->user);
	struct afar *afar = afar_find(set, source);

	if (user->session_count == 0) {
		if (afar != NULL)
			afar_remove(shard, set, (uint32_t)(afar - set->at));
		user_shows(shard, user->user);
		return;
	}
	if (afar == NULL && (afar = afar_make(shard, user->user, source)) == NULL)
		return;
	afar->round = source->round;
	afar->state = (uint8_t)user->state;
	afar->session_count = (uint32_t)user->session_count;
	afar->sessions = mem_resize(afar->sessions, user->session_count, sizeof(*afar->sessions));
	memcpy(afar->sessions, user->sessions, user->session_count * sizeof(*afar->sessions));
	home_user_afar(shard, user);
	user_shows(shard, user->user);
}

/* Those that `is` says of go. */
static void
afar_sweep(struct shard *shard, const struct source *source,
    bool (*is)(const struct afar *afar, const struct source *source))
{
	struct map *users = &shard->cluster->afar->users;
	uint64_t *swept = mem_alloc((users->count + 1) * sizeof(*swept));
	struct afar_set *set;
	size_t count = 0;

	for (size_t at = 0; (set = map_next(users, &at)) != NULL;)
		for (uint32_t i = 0; i < set->count; i++)
			if (is(&set->at[i], source)) {
				swept[count++] = set->user;
				break;
			}
	for (size_t k = 0; k < count; k++) {
		set = map_get(users, swept[k]);
		for (uint32_t i = set->count; i-- > 0;)
			if (is(&set->at[i], source)) {
				bool last = set->count == 1;

				afar_remove(shard, set, i);
				if (last)
					break;
			}
		user_shows(shard, swept[k]);
	}
	mem_free(swept);
}

static bool
is_untold(const struct afar *afar, const struct source *source)
{
	return afar->source == source && afar->round != source->round;
}

static bool
is_of_gone(const struct afar *afar, const struct source *source)
{
	(void)source;
	return afar->source->gone;
}

/* --- Hearing --- */

static struct source *
source_get(struct shard *shard, const char *node, uint32_t part)
{
	struct afar_table *table = shard->cluster->afar;
	struct source *source;
	char key[NODE_NAME_BYTES + 4];

	(void)snprintf(key, sizeof(key), "%s/%u", node, part % SHARDS_MAX);
	source = smap_get(&table->sources, slice_str(key));
	if (source != NULL || table->sources.count >= LIMIT_SOURCES)
		return source;
	source = mem_zalloc(sizeof(*source));
	memcpy(source->key, key, sizeof(key));
	(void)snprintf(source->node, sizeof(source->node), "%s", node);
	source->part = part;
	smap_put(&table->sources, slice_str(source->key), source);
	return source;
}

/* False: it is an old one. */
static bool
source_takes(struct source *source, const struct afar_mail *mail)
{
	if (source->life != mail->life) {
		source->life = mail->life;
		source->number = mail->number - 1;
		source->whole = source->telling = false;
	}
	if (mail->number <= source->number)
		return false;
	if (mail->number != source->number + 1)
		source->whole = source->telling = false;
	source->number = mail->number;
	if ((mail->flags & AFAR_BEGINS) != 0) {
		source->round++;
		source->telling = true;
	}
	return true;
}

void
afar_heard(struct shard *shard, struct afar_mail *mail)
{
	struct source *source = source_get(shard, mail->node, mail->part);

	if (source == NULL || strcmp(mail->node, shard->config.node) == 0 ||
	    !source_takes(source, mail)) {
		afar_mail_destroy(mail);
		return;
	}
	for (size_t i = 0; i < mail->count; i++)
		if (shard_of(shard, mail->users[i].user) == shard->config.index)
			afar_put(shard, source, &mail->users[i]);
	if ((mail->flags & AFAR_ENDS) != 0 && source->telling) {
		source->telling = false;
		source->whole = true;
		afar_sweep(shard, source, is_untold);
	}
	afar_mail_destroy(mail);
}

/* All shards of this node hear the same, so one of them asks. */
static void
node_ask(struct shard *shard, slice node, uint32_t part)
{
	struct tell_mail mail = {.mail.kind = MAIL_TELL, .part = part};

	if (shard->config.index != 0)
		return;
	(void)snprintf(mail.node, sizeof(mail.node), "%.*s", SLICE_ARG(node));
	cluster_ring(shard, RING_ALL, 0, &mail.mail);
}

void
afar_node(struct shard *shard, slice node, bool up)
{
	struct afar_table *table = shard->cluster->afar;
	struct source *source;
	bool any = false;

	for (size_t at = 0; (source = smap_next(&table->sources, &at)) != NULL;) {
		source->gone = slice_eq(slice_str(source->node), node);
		any = any || source->gone;
	}
	if (any)
		afar_sweep(shard, NULL, is_of_gone);
	for (size_t at = 0; any && (source = smap_next(&table->sources, &at)) != NULL;)
		if (source->gone) {
			(void)smap_remove(&table->sources, slice_str(source->key));
			mem_free(source);
			at = 0;
		}
	table->tell = table->tell || up;
	if (up)
		node_ask(shard, node, SHARDS_MAX);
}

static void
sources_ask(struct shard *shard)
{
	struct source *source;

	for (size_t at = 0; (source = smap_next(&shard->cluster->afar->sources, &at)) != NULL;) {
		if (source->whole || source->telling || source->ask_ms > shard->mono_ms)
			continue;
		source->ask_ms = shard->mono_ms + ASK_MS + random_below(ASK_SPREAD_MS);
		node_ask(shard, slice_str(source->node), source->part);
	}
}

/* --- Telling --- */

void
afar_news(struct shard *shard, uint64_t user)
{
	if (shard->cluster != NULL)
		map_put(&shard->cluster->afar->news, user, shard);
}

void
afar_asked(struct shard *shard, struct tell_mail *mail)
{
	if ((mail->part == shard->config.index || mail->part == SHARDS_MAX) &&
	    strcmp(mail->node, shard->config.node) == 0)
		shard->cluster->afar->tell = true;
	mem_free(mail);
}

/* A ring that is being made. */
struct telling {
	struct afar_mail mail;
	struct afar_user users[LIMIT_RING_USERS];
	size_t bytes;
};

static void
telling_ring(struct shard *shard, struct telling *telling, uint8_t flags)
{
	struct afar_table *table = shard->cluster->afar;

	telling->mail.mail.kind = MAIL_AFAR;
	telling->mail.life = table->life;
	telling->mail.number = ++table->number;
	telling->mail.part = shard->config.index;
	telling->mail.flags = flags;
	telling->mail.users = telling->users;
	cluster_ring(shard, RING_ALL, 0, &telling->mail.mail);
	for (size_t i = 0; i < telling->mail.count; i++)
		mem_free((void *)(uintptr_t)telling->users[i].sessions);
	telling->mail.count = telling->bytes = 0;
	table->beat_ms = shard->mono_ms + BEAT_MS;
}

/* True if the next one would be too much for the ring. */
static bool
telling_full(const struct telling *telling)
{
	return telling->mail.count == LIMIT_RING_USERS || telling->bytes >= LIMIT_RING_BYTES / 2;
}

static void
telling_add(struct shard *shard, struct telling *telling, uint64_t user)
{
	struct home_user *home = map_get(&shard->home_users, user);
	struct afar_user *told = &telling->users[telling->mail.count++];
	uint64_t *sessions;

	*told = (struct afar_user){.user = user};
	telling->bytes += USER_RING_BYTES;
	if (home == NULL || home->count == 0)
		return;
	sessions = mem_alloc(home->count * sizeof(*sessions));
	told->session_count = home->count < LIMIT_RING_SESSIONS ? home->count : LIMIT_RING_SESSIONS;
	for (size_t i = 0; i < told->session_count; i++)
		sessions[i] = home_nth(home, (uint32_t)i)->session;
	told->sessions = sessions;
	told->state = home_shows_here(home);
	if (home->synced > 0 && home->presence == PRESENCE_INVISIBLE)
		told->state = PRESENCE_INVISIBLE;
	told->name = slice_str(home->name);
	told->display = home_display(home);
	told->text = home_text(home);
	telling->bytes += told->session_count * sizeof(uint64_t) + told->name.len +
			  told->display.len + told->text.len;
}

static void
news_ring(struct shard *shard)
{
	struct map *news = &shard->cluster->afar->news;
	struct telling *telling = mem_alloc(sizeof(*telling));

	telling->mail.count = telling->bytes = 0;
	for (size_t i = 0; i < news->capacity; i++) {
		if (news->slots[i].value == NULL)
			continue;
		if (telling_full(telling))
			telling_ring(shard, telling, 0);
		telling_add(shard, telling, news->slots[i].key);
	}
	telling_ring(shard, telling, 0);
	mem_free(telling);
	map_fini(news);
}

static void
telling_begin(struct shard *shard)
{
	struct afar_table *table = shard->cluster->afar;
	const struct home_user *home;

	table->tell = false;
	table->telling = true;
	table->telling_count = table->telling_at = 0;
	table->telling_users =
	    mem_alloc((shard->home_users.count + 1) * sizeof(*table->telling_users));
	for (size_t at = 0; (home = map_next(&shard->home_users, &at)) != NULL;)
		if (home->count > 0)
			table->telling_users[table->telling_count++] = home->user;
}

/* Some of all users, of each what he shows now. */
static void
telling_go_on(struct shard *shard)
{
	struct afar_table *table = shard->cluster->afar;
	struct telling *telling = mem_alloc(sizeof(*telling));
	size_t rings = TELL_RINGS_MIN + table->telling_count / (LIMIT_RING_USERS / 8 * TELL_TICKS);

	telling->mail.count = telling->bytes = 0;
	while (rings-- > 0 && table->telling) {
		uint8_t flags = table->telling_at == 0 ? AFAR_BEGINS : 0;

		while (table->telling_at < table->telling_count && !telling_full(telling))
			telling_add(shard, telling, table->telling_users[table->telling_at++]);
		if (table->telling_at == table->telling_count) {
			flags |= AFAR_ENDS;
			table->telling = false;
			mem_free(table->telling_users);
			table->telling_users = NULL;
		}
		telling_ring(shard, telling, flags);
	}
	mem_free(telling);
}

void
afar_turn(struct shard *shard)
{
	if (shard->cluster->afar->news.count > 0)
		news_ring(shard);
}

void
afar_tick(struct shard *shard)
{
	struct afar_table *table = shard->cluster->afar;
	struct telling *beat;

	afar_turn(shard);
	if (table->tell && !table->telling)
		telling_begin(shard);
	if (table->telling)
		telling_go_on(shard);
	sources_ask(shard);
	if (shard->mono_ms < table->beat_ms)
		return;
	beat = mem_zalloc(sizeof(*beat));
	telling_ring(shard, beat, 0);
	mem_free(beat);
}

/* --- Beginning and end --- */

void
afar_create(struct shard *shard)
{
	shard->cluster->afar = mem_zalloc(sizeof(*shard->cluster->afar));
	shard->cluster->afar->life = random_id();
	shard->cluster->afar->tell = true; /* whoever is there learns that nobody is here yet */
}

void
afar_destroy(struct shard *shard)
{
	struct afar_table *table = shard->cluster->afar;
	struct afar_set *set;
	struct source *source;

	for (size_t at = 0; (set = map_next(&table->users, &at)) != NULL;) {
		gauge_add(GAUGE_AFAR, -(int64_t)set->count);
		set_destroy(set);
	}
	for (size_t at = 0; (source = smap_next(&table->sources, &at)) != NULL;)
		mem_free(source);
	map_fini(&table->users);
	smap_fini(&table->sources);
	map_fini(&table->news);
	mem_free(table->telling_users);
	mem_free(table);
}
