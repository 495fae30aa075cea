/* SPDX-License-Identifier: MIT */
/* What the files of the interactive mode share. */
#ifndef CONFAB_TALK_H
#define CONFAB_TALK_H

#include "app.h"
#include "base/list.h"
#include "base/map.h"
#include "names.h"

enum { OWN_MAX = 256, HISTORY_PAGE_MOST = 200 };

struct deed;
struct ask;

/* Where scrolling back has come to. */
struct back {
	char target[TARGET_MAX + 1];
	unsigned long count;
	uint64_t before; /* 0: nothing was shown yet */
	bool asked, end;
};

enum more { MORE_NOTHING, MORE_HISTORY, MORE_LIST };

struct talk {
	struct app *app;
	bool terminal;
	bool login_needed; /* the dialogue is due, outside of the client's step */
	bool ending;       /* the input has ended; what is unsent goes out before */
	char target[TARGET_MAX + 1];
	/* What this process sent: the person has typed it, and needs not see it again.  A ring. */
	char own[OWN_MAX][CMID_MAX + 1];
	unsigned own_count;
	struct map labels;  /* cid -> char *, owned: how a person calls the conversation */
	struct names names; /* for completion */
	struct buf out;
	struct list asks; /* struct ask, owned: deeds that have no answer yet */
	struct ask *rest; /* owned: a list of which there is more; NULL: none */
	struct back back; /* of /history */
	enum more more;   /* what /more goes on with */
	char *
	    state_again; /* owned: what presence.set shall get on the next connection; NULL: nothing */
};

/* talk.c */
struct talk *talk_of(void *cookie);
/* A line of the program's own. */
void talk_notice(struct talk *talk, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same about something that others wrote. */
void talk_notice_text(struct talk *talk, const char *before, slice text, const char *after);
/* What the server refused. */
void talk_refused(struct talk *talk, const char *about, const struct client_error *error);
/* Tells that a request could not be made; true if it could. */
bool talk_asked(struct talk *talk, int refusal);
/* Whom the next lines are for; "" for nobody. */
void talk_choose(struct talk *talk, slice target);
/* Sends a text to the current target. */
void talk_say(struct talk *talk, slice text, uint64_t re);
/* For a pipe: the next line waits until the ones before had their answers. */
void talk_hold_pipe(struct talk *talk);

/* talk_arrivals.c */
extern const struct client_hooks talk_hooks;
const char *talk_label(const struct talk *talk, uint64_t cid);
void talk_labels_fini(struct talk *talk);

/* talk_commands.c */
void talk_line(struct talk *talk, slice line);
void talk_complete(slice before, slice word, void *cookie);

/* talk_history.c */
void talk_history(struct talk *talk, slice rest);
void talk_history_more(struct talk *talk);

/* talk_deeds.c */
void talk_deed(struct talk *talk, const struct deed *deed, slice rest);
void talk_deeds_more(struct talk *talk);
/* What waits for the messages before it goes on if they are sent. */
void talk_deeds_step(struct talk *talk);
/* The connection is new: what held for the old one is set again. */
void talk_deeds_connected(struct talk *talk);
void talk_deeds_fini(struct talk *talk);

/* talk_login.c: the vault of the user, with a token in it, by asking if needed and possible. */
bool talk_enter(struct app *app);

#endif
