/* SPDX-License-Identifier: MIT */
/*
 * What can be done by one request of the server, as tables: the words that a script says and the
 * command that a person types are one row, with what its operands become and how its answer looks.
 * once.c runs a row for scripts, talk_deeds.c in the interactive mode.
 */
#ifndef CONFAB_DEED_H
#define CONFAB_DEED_H

#include "app.h"
#include "words.h"

enum arg_kind {
	ARG_NONE,
	ARG_TARGET,   /* any conversation; typed: the current one if it is left out */
	ARG_GROUP,    /* the same, a group */
	ARG_THIS,     /* a group that must be named, also by a person */
	ARG_SCOPE,    /* a target, "all" or "contacts" */
	ARG_USER,     /* "@bob" or "bob" */
	ARG_ONE_USER, /* the same, as a list of one */
	ARG_USERS,    /* one or more, to the end */
	ARG_WORD,     /* one of `choices` */
	ARG_TIME,     /* "10m", as seconds */
	ARG_SEQ,      /* a message; typed: one's own last one if it is left out */
	ARG_TEXT,     /* the rest */
	ARG_QUERY,    /* the same; the sign of a name is left out */
	ARG_CLEAR,    /* the rest, where - stands for nothing */
	ARG_SETTING,  /* one of `choices`, and its value is the rest */
	ARG_FOUNDING, /* title, '#HANDLE', @USER..., --open, --history */
};

struct arg {
	enum arg_kind kind;
	const char *name;    /* of the parameter */
	const char *choices; /* with | between */
	bool optional;
};

/* What a person's next lines mean after it was done. */
enum deed_then {
	THEN_NOTHING,
	THEN_ENTER, /* the conversation becomes the current one */
	THEN_LEAVE, /* and is it no more */
	THEN_STATE, /* one's state is set again on the next connection */
};

enum { DEED_ARGS = 4 };

struct deed {
	const char *words;    /* "group kick" */
	const char *typed;    /* "/kick" */
	const char *operands; /* for people, less the conversation */
	const char *help;
	const char *method;
	const char *fixed; /* members of the parameters that are always the same, or NULL */
	struct arg args[DEED_ARGS];
	/* Where the answer is a list: its name, the member by which it goes on, the largest page. */
	const char *list, *after;
	unsigned page;
	/* How it looks, see sheet.h. */
	const char *columns; /* a line for scripts, or with `pairs` a line for each member */
	bool pairs;
	const char *head;   /* before the list, for people */
	const char *person; /* a row, or the answer, for people */
	const char *none;   /* what an empty list means */
	bool must;          /* an empty list is no success */
	bool whole;         /* as JSON the answer is more than its rows */
	enum deed_then then;
	bool repeatable;         /* doing it twice is as good as once */
	const struct deed *next; /* asked afterwards, with the same parameters */
};

/* Each ends with a row that has no method. */
extern const struct deed deeds_groups[], deeds_people[], deeds_messages[];
/* The next row of all tables after `deed`, or the first one; NULL at the end. */
const struct deed *deed_after(const struct deed *deed);
/* How many of the words are a row's name, and the row; 0: none. */
int deed_named(char **words, int count, const struct deed **ret_deed);
/* The command at the front of a typed line, and what stands behind it. */
const struct deed *deed_typed(slice line, slice *ret_rest);
/* A text to the end: options are not looked for behind the first operand. */
bool deed_takes_text(const struct deed *deed);
/* Some operand may be the name of a user or a group. */
bool deed_takes_names(const struct deed *deed);

struct deed_call {
	struct buf params; /* owned; a JSON object without its end */
	char target[TARGET_MAX + 1];
	bool own_last; /* `seq` is still to be found */
};

/*
 * From words to parameters.  here: the current target, "" if none; none for scripts.  NULL if fine,
 * "" if the operands are not as they should be, otherwise what is wrong.  The caller ends ret with
 * buf_fini() in any case.
 */
const char *deed_fill(
    const struct deed *deed, const struct words *words, slice here, struct deed_call *ret);
/* "/kick @USER" or "confab group kick '#GROUP' @USER". */
void deed_usage(const struct deed *deed, bool typed, struct buf *to);

/* Puts what can be done in the place of the server's message, where more is known than it says. */
void deed_explain(const struct deed *deed, struct client_error *error);
/* Calls for each user who could not be added: his name and why, safe to show; returns how many. */
size_t deed_each_failed(struct json result,
    void (*each)(const char *user, const char *why, void *cookie), void *cookie);

/* once.c: runs it for a script; the exit code. */
int command_deed(struct app *app, const struct deed *deed);

#endif
