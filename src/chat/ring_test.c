/* SPDX-License-Identifier: MIT */
/* What nodes say to each other: all of it there and back, and nothing else accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "chat/cluster.h"

static const uint64_t sessions[] = {1, 9007199254740991u, 77};

static const struct entry_parts parts[] = {
    {.sender = 7, .kind = S("text"), .from = S("alice"), .cmid = S("c-1"), .body = S("hi")},
    {.sender = 8, .re = 3, .kind = S("edit"), .from = S("bob"), .body = S(""), .data = S("{}")},
    {.sender = 9, .ends = 8, .kind = S("remove"), .from = S("carol"), .data = S("{\"a\":1}")},
};

static struct conv_mail *
entries_mail(size_t count, bool group)
{
	struct conv_mail *mail = mem_zalloc(sizeof(*mail) + count * sizeof(struct entry *));
	struct conv_facts facts = {.kind = CONV_GROUP, .handle = S("ops")};

	mail->mail.kind = MAIL_COMMITTED;
	mail->cid = 12;
	mail->head = 300;
	if (group) {
		mail->facts = facts_copy(&facts, &mail->text);
		mail->facts_seq = 299;
	}
	for (size_t i = 0; i < count; i++) {
		struct entry *entry = entry_create(&parts[i % LEN(parts)]);

		entry->cid = 12;
		entry->seq = 128 + i;
		entry->ts = 1700000000123u + i;
		entry->edited = i == 1 ? 129 : 0;
		entry->deleted = i == 2 ? 130 : 0;
		mail->entries[mail->count++] = entry;
	}
	return mail;
}

static void
bytes_of(struct buf *buf, const struct mail *mail)
{
	buf_clear(buf);
	ring_encode(buf, mail);
}

/* There and back it is the same; cut short, longer, or of somebody else it is nothing. */
static struct mail *
there_and_back(const struct mail *mail, enum ring_scope scope, uint64_t id)
{
	struct buf first = {0}, second = {0};
	struct mail *back;

	bytes_of(&first, mail);
	back = ring_decode(scope, id, buf_slice(&first));
	assert_non_null(back);
	assert_int_equal(back->kind, mail->kind);
	bytes_of(&second, back);
	assert_true(slice_eq(buf_slice(&first), buf_slice(&second)));
	for (size_t len = 0; len < buf_len(&first); len++) {
		char *copy =
		    mem_dup(slice_of(buf_head(&first), len)); /* of its own, to be watched */

		assert_null(ring_decode(scope, id, slice_of(copy, len)));
		mem_free(copy);
	}
	if (scope != RING_ALL)
		assert_null(ring_decode(scope, id + 1, buf_slice(&first)));
	assert_null(ring_decode(scope == RING_USER ? RING_CONV : RING_USER, id, buf_slice(&first)));
	buf_append(&first, "", 1);
	assert_null(ring_decode(scope, id, buf_slice(&first)));
	buf_fini(&first);
	buf_fini(&second);
	return back;
}

static void
entries_travel(void **state)
{
	(void)state;
	for (size_t count = 0; count <= 5; count++) {
		struct conv_mail *mail = entries_mail(count, count % 2 == 1);
		struct conv_mail *back =
		    (struct conv_mail *)(void *)there_and_back(&mail->mail, RING_CONV, 12);

		assert_true(back->heard && back->cid == 12 && back->head == 300);
		assert_int_equal(back->count, count);
		assert_int_equal(back->facts.kind, mail->facts.kind);
		assert_true(slice_eq(back->facts.handle, mail->facts.handle));
		for (size_t i = 0; i < count; i++) {
			const struct entry *a = mail->entries[i], *b = back->entries[i];

			assert_true(entry_same_content(a, b) && b->heard && b->cid == 12);
			assert_true(a->seq == b->seq && a->ts == b->ts && a->sender == b->sender);
			assert_true(a->ends == b->ends && a->edited == b->edited);
			assert_true(a->deleted == b->deleted && slice_eq(a->from, b->from));
			assert_true(slice_given(a->cmid) == slice_given(b->cmid));
		}
		conv_mail_destroy(back);
		conv_mail_destroy(mail);
	}
}

static void
entries_out_of_order_do_not(void **state)
{
	struct conv_mail *mail = entries_mail(3, false);
	struct buf buf = {0};

	(void)state;
	mail->entries[2]->seq = mail->entries[1]->seq;
	bytes_of(&buf, &mail->mail);
	assert_null(ring_decode(RING_CONV, 12, buf_slice(&buf)));
	mail->entries[2]->seq = mail->head + 1;
	bytes_of(&buf, &mail->mail);
	assert_null(ring_decode(RING_CONV, 12, buf_slice(&buf)));
	mail->head = (uint64_t)1 << 53;
	bytes_of(&buf, &mail->mail);
	assert_null(ring_decode(RING_CONV, 12, buf_slice(&buf)));
	buf_fini(&buf);
	conv_mail_destroy(mail);
}

static void
news_of_users_travel(void **state)
{
	static const enum mail_kind kinds[] = {
	    MAIL_ANNOUNCE, MAIL_REVOKE, MAIL_VERIFY, MAIL_RENAME, MAIL_PRESENCE_NEWS, MAIL_GONE};
	char display[] = "Ann B.";

	(void)state;
	for (size_t i = 0; i < LEN(kinds); i++) {
		struct user_mail mail = {.mail.kind = kinds[i],
		    .user = 5,
		    .session = 9007199254740991u,
		    .except = 3,
		    .cid = 4,
		    .seq = 6,
		    .peer = 99,
		    .at_ns = 99,
		    .display = display};
		struct user_mail *back = (struct user_mail *)(void *)there_and_back(
		    &mail.mail, kinds[i] == MAIL_GONE ? RING_ALL : RING_USER, 5);

		assert_true(back->heard && back->user == 5 && back->session == mail.session);
		assert_true(back->except == 3 && back->cid == 4 && back->seq == 6);
		assert_true(back->peer == 0 && back->at_ns == 0); /* known to one node alone */
		assert_string_equal(back->display, display);
		user_mail_destroy(back);
	}
}

static void
marks_contacts_and_signals_travel(void **state)
{
	struct mark_mail mark = {.to = {.mail.kind = MAIL_MARK, .user = 2},
	    .cid = 3,
	    .read = 4,
	    .delivered = 5,
	    .except = 6,
	    .by = 7,
	    .user = "ann"};
	struct contact_mail contact = {.to = {.mail.kind = MAIL_CONTACT, .user = 2},
	    .other = 9,
	    .order = 11,
	    .news = NEWS_INCOMING,
	    .user = "bob",
	    .noted = true,
	    .note = "it's me"};
	char from[] = "ann", kind[] = "typing", data[] = "1";
	struct signal_mail signal = {.mail.kind = MAIL_SIGNAL,
	    .cid = 12,
	    .author = 1,
	    .from = from,
	    .kind = kind,
	    .data = data};
	struct mark_mail *mark_back;
	struct contact_mail *contact_back;
	struct signal_mail *signal_back;

	(void)state;
	mark_back = (struct mark_mail *)(void *)there_and_back(&mark.to.mail, RING_USER, 2);
	assert_true(mark_back->read == 4 && mark_back->delivered == 5 && mark_back->cid == 3);
	assert_int_equal(mark_back->by, 7);
	assert_int_equal(mark_back->except_shard, SHARDS_MAX);
	assert_string_equal(mark_back->user, "ann");
	ring_mail_destroy(&mark_back->to.mail);
	contact_back =
	    (struct contact_mail *)(void *)there_and_back(&contact.to.mail, RING_USER, 2);
	assert_true(contact_back->other == 9 && contact_back->order == 11 && contact_back->noted);
	assert_string_equal(contact_back->note, "it's me");
	ring_mail_destroy(&contact_back->to.mail);
	signal_back = (struct signal_mail *)(void *)there_and_back(&signal.mail, RING_CONV, 12);
	assert_string_equal(signal_back->kind, "typing");
	ring_mail_destroy(&signal_back->mail);
	signal.data = NULL;
	signal_back = (struct signal_mail *)(void *)there_and_back(&signal.mail, RING_CONV, 12);
	assert_null(signal_back->data);
	ring_mail_destroy(&signal_back->mail);
}

static void
users_elsewhere_travel(void **state)
{
	struct afar_user users[] = {
	    {.user = 1,
		.state = PRESENCE_AWAY,
		.name = S("ann"),
		.display = S("Ann"),
		.text = S("out"),
		.sessions = sessions,
		.session_count = LEN(sessions)},
	    {.user = 2},
	    {.user = 3,
		.state = PRESENCE_INVISIBLE,
		.name = S("bob"),
		.display = S("bob"),
		.sessions = sessions,
		.session_count = 1},
	};
	struct afar_mail mail = {.mail.kind = MAIL_AFAR,
	    .life = 123456789,
	    .number = 130,
	    .part = 3,
	    .flags = AFAR_BEGINS | AFAR_ENDS,
	    .count = LEN(users),
	    .users = users};
	struct afar_mail *back =
	    (struct afar_mail *)(void *)there_and_back(&mail.mail, RING_ALL, 0);

	(void)state;
	assert_true(back->life == mail.life && back->number == 130 && back->part == 3);
	assert_true(back->count == 3 && back->flags == mail.flags);
	assert_int_equal(back->users[0].session_count, LEN(sessions));
	assert_memory_equal(back->users[0].sessions, sessions, sizeof(sessions));
	assert_true(slice_eq(back->users[0].text, S("out")));
	assert_int_equal(back->users[1].session_count, 0);
	assert_int_equal(back->users[2].state, PRESENCE_INVISIBLE);
	assert_false(slice_given(back->users[2].text));
	afar_mail_destroy(back);
}

static void
questions_travel(void **state)
{
	struct tell_mail mail = {.mail.kind = MAIL_TELL, .part = 2, .node = "n1"};
	struct tell_mail *back =
	    (struct tell_mail *)(void *)there_and_back(&mail.mail, RING_ALL, 0);

	(void)state;
	assert_string_equal(back->node, "n1");
	assert_int_equal(back->part, 2);
	ring_mail_destroy(&back->mail);
}

static void
there_is_one_way_to_say_a_thing(void **state)
{
	static const slice wrong[] = {
	    S(""), S("\1"), S("\2\14\3n1\0"),                 /* of another version */
	    S("\1\15"),                                       /* of no kind */
	    S("\1\201\0"),                                    /* a number with a needless byte */
	    S("\1\14\3n1\200\0"),                             /* the same */
	    S("\1\14\1\0\0"),                                 /* more behind it */
	    S("\1\14\0\0"),                                   /* no name */
	    S("\1\14\3n1\101"),                               /* no such shard */
	    S("\1\14\377\377\377\377\377\377\377\377\377\2"), /* a number of 65 bits */
	    S("\1\14\377\377\377\377\377\377\377\377\377\1"), /* a text longer than memory */
	};
	struct mail *right = ring_decode(RING_ALL, 0, S("\1\14\3n1\0"));

	(void)state;
	assert_non_null(right);
	ring_mail_destroy(right);
	for (size_t i = 0; i < LEN(wrong); i++)
		assert_null(ring_decode(RING_ALL, 0, wrong[i]));
}

/* Whatever is heard is a mail, or nothing; and a mail says the same again. */
static void
noise_is_no_ring(void **state)
{
	struct conv_mail *mail = entries_mail(3, true);
	struct buf good = {0}, again = {0};
	uint32_t seed = 1;

	(void)state;
	bytes_of(&good, &mail->mail);
	for (unsigned i = 0; i < 20000; i++) {
		char *copy = mem_dup(buf_slice(&good));
		struct mail *heard;

		for (unsigned k = 0; k <= i % 3; k++) {
			seed = seed * 1664525u + 1013904223u;
			copy[(seed >> 8) % buf_len(&good)] = (char)(seed >> 24);
		}
		heard = ring_decode(RING_CONV, 12, slice_of(copy, buf_len(&good)));
		if (heard != NULL) {
			bytes_of(&again, heard);
			assert_true(slice_eq(buf_slice(&again), slice_of(copy, buf_len(&good))));
			ring_mail_destroy(heard);
		}
		mem_free(copy);
	}
	buf_fini(&good);
	buf_fini(&again);
	conv_mail_destroy(mail);
}

/* The database's clock is set back, or another database takes over whose clock is behind. */
static void
contacts_are_told_after_the_clock_went_back(void **state)
{
	enum { ALICE = 7, BOB = 8 };
	static struct cluster cluster;
	struct shard shard = {.cluster = &cluster, .mono_ms = CONTACT_HEARD_MS};

	(void)state;
	assert_false(cluster_contact_is_old(&shard, ALICE, BOB, 5000));
	assert_true(cluster_contact_is_old(&shard, ALICE, BOB, 4000));
	assert_false(cluster_contact_is_old(&shard, BOB, ALICE, 4000));
	shard.mono_ms += CONTACT_HEARD_MS;
	assert_false(cluster_contact_is_old(&shard, ALICE, BOB, 4000));
	assert_true(cluster_contact_is_old(&shard, ALICE, BOB, 3000));
	assert_false(cluster_contact_is_old(&shard, ALICE, BOB, 5000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_travel),
	    cmocka_unit_test(entries_out_of_order_do_not),
	    cmocka_unit_test(news_of_users_travel),
	    cmocka_unit_test(marks_contacts_and_signals_travel),
	    cmocka_unit_test(users_elsewhere_travel),
	    cmocka_unit_test(questions_travel),
	    cmocka_unit_test(there_is_one_way_to_say_a_thing),
	    cmocka_unit_test(noise_is_no_ring),
	    cmocka_unit_test(contacts_are_told_after_the_clock_went_back),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
