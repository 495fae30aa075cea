/* SPDX-License-Identifier: MIT */
/* The homes of conversations and of users: what comes to them by mail, and what they do at a turn's end and a tick. */
#ifndef CHAT_HOME_H
#define CHAT_HOME_H

#include "chat/internal.h"

struct conv_mail;
struct contact_mail;
struct mark_mail;
struct query_mail;
struct signal_mail;
struct user_mail;
struct watch_mail;

/* home_conv.c */
void home_append(struct shard *shard, struct op *op);
void home_append_done(struct shard *shard, struct op *op);
/* Such an operation will be delivered soon: what that touches comes into the caches, step by step. */
void home_ahead(const struct shard *shard, const struct op *op, unsigned step);
void home_committed(struct shard *shard, struct conv_mail *mail);
struct conv_mail *committed_mail(uint64_t cid, uint64_t head, const struct conv_facts *facts);
void conv_mail_destroy(struct conv_mail *mail);
/* The same for what went past its home: the store is asked where that is. */
void home_place_look(struct shard *shard, uint64_t user, const struct op_target *target);
/* His home tells his peers that a conversation is perhaps new to them; seq: of his joining, 0 if not known. */
void home_announce_to(struct shard *shard, uint64_t user, uint64_t cid, uint64_t seq);
void signal_mail_destroy(struct signal_mail *mail);
void home_subscribe(struct shard *shard, struct conv_mail *mail);
void home_unsubscribe(struct shard *shard, struct conv_mail *mail);
void home_signal(struct shard *shard, struct signal_mail *mail);
void home_publish(struct shard *shard);
/* The heads of conversations were asked for, because rings of them may have been missed. */
void home_polled(struct shard *shard, const struct op *op);
/* Calls back for each conversation whose rings this node wants to hear. */
void home_convs_heard(struct shard *shard, void (*each)(struct shard *shard, uint64_t cid));
void home_looked(struct shard *shard, struct op *op);
void home_look_again(struct shard *shard, struct op *op);
void home_convs_tick(struct shard *shard);
void home_convs_forget(struct shard *shard);
void home_convs_destroy(struct shard *shard);
/* home_user.c */
void user_attach(struct shard *shard, struct user_mail *mail);
void user_detach(struct shard *shard, struct user_mail *mail);
void user_synced(struct shard *shard, struct user_mail *mail);
void user_revoke(struct shard *shard, struct user_mail *mail);
void user_verify(struct shard *shard, struct user_mail *mail);
void user_rename(struct shard *shard, struct user_mail *mail);
void user_with_online(struct shard *shard, struct op *op);
/* The last moment that he was seen, at one of his sessions; the store writes it when it suits. */
void user_touch(struct shard *shard, uint64_t user, uint64_t session);
void user_announce(struct shard *shard, struct user_mail *mail);
void user_mark(struct shard *shard, struct mark_mail *mail);
void user_contact(struct shard *shard, struct contact_mail *mail);
void home_users_destroy(struct shard *shard);
/* home_presence.c */
void user_presence(struct shard *shard, struct op *op);
void user_presence_news(struct shard *shard, struct user_mail *mail);
void user_watch(struct shard *shard, struct watch_mail *mail);
void user_unwatch(struct shard *shard, struct watch_mail *mail);
void user_query(struct shard *shard, struct query_mail *mail);
/* Tells of those who have been gone for long enough. */
void home_leavings_tick(struct shard *shard);
void home_leavings_destroy(struct shard *shard);

#endif
