/* SPDX-License-Identifier: ISC */
/* Rules: transactions. They conflict only where truth conflicts (docs/spec/xenstore.md), which not all stores hold. */
#include "tests/interop/conformance.h"

#include <stdio.h>
#include <string.h>

#define END XS_TRANSACTION_END

static void commit_and_abort(void)
{
    struct client *s = socket_client(), *o = socket_client();
    done(s, XS_MKDIR, "/c|");
    uint32_t tx = start(s);
    done_in(s, tx, XS_WRITE, "/c/a|v");
    says_in(s, tx, XS_READ, "v", "/c/a|");
    says(s, XS_READ, "!ENOENT", "/c/a|");
    says(o, XS_READ, "!ENOENT", "/c/a|");
    done_in(s, tx, END, "T|");
    says(o, XS_READ, "v", "/c/a|");
    tx = start(s);
    done_in(s, tx, XS_WRITE, "/c/a|w");
    done_in(s, tx, XS_RM, "/c/a|");
    done_in(s, tx, END, "F|");
    says(o, XS_READ, "v", "/c/a|");
}

static void id_is_over(void)
{
    struct client *s = socket_client();
    uint32_t tx = start(s);
    done_in(s, tx, END, "F|");
    says_in(s, tx, XS_READ, "!ENOENT", "/|");
    says_in(s, tx, END, "!ENOENT", "T|");
}

static void id_unknown(void)
{
    struct client *s = socket_client(), *g = guest(0);
    says_in(s, 4711, XS_READ, "!ENOENT", "/|");
    says_in(g, 4711, XS_READ, "!ENOENT", "/|");
    says_in(s, 4711, END, "!ENOENT", "T|");
    says(s, END, "!ENOENT", "T|");
}

static void id_of_another(void)
{
    struct client *s = socket_client(), *o = socket_client();
    uint32_t tx = start(s);
    says_in(o, tx, XS_READ, "!ENOENT", "/|");
    done_in(s, tx, END, "F|");
}

static void nested(void)
{
    struct client *s = socket_client();
    uint32_t tx = start(s);
    says_in(s, tx, XS_TRANSACTION_START, "!EBUSY", "|");
    done_in(s, tx, END, "F|");
}

static void several(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c|");
    uint32_t one = start(s), two = start(s);
    NEED(one != two);
    done_in(s, one, XS_WRITE, "/c/one|1");
    done_in(s, two, XS_WRITE, "/c/two|2");
    says_in(s, two, XS_READ, "!ENOENT", "/c/one|");
    done_in(s, one, END, "T|");
    says(s, XS_READ, "1", "/c/one|");
    done_in(s, two, END, "F|");
    says(s, XS_READ, "!ENOENT", "/c/two|");
}

static void end_framing(void)
{
    struct client *s = socket_client();
    uint32_t tx = start(s);
    says_in(s, tx, END, "!EINVAL", "X|");
    says_in(s, tx, END, "!EINVAL", "T");
    says_in(s, tx, END, "!EINVAL", "T|T|");
    says_in(s, tx, END, "!EINVAL", "TT|");
    done_in(s, tx, END, "T|");
}

static void sees_own_changes(void)
{
    struct client *s = socket_client();
    done(s, XS_WRITE, "/c/a/b|v");
    uint32_t tx = start(s);
    done_in(s, tx, XS_MKDIR, "/c/a/d|");
    says_in(s, tx, XS_DIRECTORY, "b|d|", "/c/a|");
    done_in(s, tx, XS_RM, "/c/a/b|");
    says_in(s, tx, XS_DIRECTORY, "d|", "/c/a|");
    done_in(s, tx, XS_SET_PERMS, "/c/a|r0|");
    says_in(s, tx, XS_GET_PERMS, "r0|", "/c/a|");
    says(s, XS_DIRECTORY, "b|", "/c/a|");
    done_in(s, tx, END, "T|");
    says(s, XS_DIRECTORY, "d|", "/c/a|");
    says(s, XS_GET_PERMS, "r0|", "/c/a|");
}

/* ---- conflicts ---- */

static void real_conflict(void)
{
    struct client *s = socket_client(), *o = socket_client();
    done(s, XS_WRITE, "/c/a|1");
    uint32_t tx = start(s);
    says_in(s, tx, XS_READ, "1", "/c/a|");
    done(o, XS_WRITE, "/c/a|2");
    done_in(s, tx, XS_WRITE, "/c/b|from 1");
    says_in(s, tx, END, "!EAGAIN", "T|");
    says(s, XS_READ, "!ENOENT", "/c/b|");
    says(s, XS_READ, "2", "/c/a|");
}

static void conflict_with_commit(void)
{
    struct client *s = socket_client(), *o = socket_client();
    done(s, XS_WRITE, "/c/a|1");
    uint32_t one = start(s), two = start(o);
    says_in(s, one, XS_READ, "1", "/c/a|");
    says_in(o, two, XS_READ, "1", "/c/a|");
    done_in(s, one, XS_WRITE, "/c/a|2");
    done_in(o, two, XS_WRITE, "/c/a|3");
    done_in(s, one, END, "T|");
    says_in(o, two, END, "!EAGAIN", "T|");
    says(s, XS_READ, "2", "/c/a|");
}

static void listing_conflict(void)
{
    struct client *s = socket_client(), *o = socket_client();
    done(s, XS_MKDIR, "/c/d|");
    uint32_t tx = start(s);
    says_in(s, tx, XS_DIRECTORY, "", "/c/d|");
    done(o, XS_MKDIR, "/c/d/other|");
    done_in(s, tx, XS_MKDIR, "/c/d/mine|");
    says_in(s, tx, END, "!EAGAIN", "T|");
}

static void aborted_no_conflict(void)
{
    struct client *s = socket_client(), *o = socket_client();
    done(s, XS_WRITE, "/c/a|1");
    uint32_t tx = start(s), other = start(o);
    says_in(s, tx, XS_READ, "1", "/c/a|");
    done_in(o, other, XS_WRITE, "/c/a|2");
    done_in(o, other, END, "F|");
    done_in(s, tx, XS_WRITE, "/c/b|v");
    done_in(s, tx, END, "T|");
}

static void unrelated(void)
{
    struct client *s = socket_client(), *o = socket_client();
    done(s, XS_WRITE, "/c/a/x|1");
    done(s, XS_WRITE, "/c/b/x|1");
    uint32_t tx = start(s);
    says_in(s, tx, XS_READ, "1", "/c/a/x|");
    done_in(s, tx, XS_WRITE, "/c/a/x|2");
    done(o, XS_WRITE, "/c/b/x|2");
    done_in(s, tx, END, "T|");
}

static void snapshot(void)
{
    struct client *s = socket_client(), *o = socket_client();
    done(s, XS_WRITE, "/c/a|1");
    done(s, XS_WRITE, "/c/b|1");
    uint32_t tx = start(s);
    says_in(s, tx, XS_READ, "1", "/c/a|");
    done(o, XS_WRITE, "/c/b|2");
    says_in(s, tx, XS_READ, "1", "/c/b|");
    done_in(s, tx, END, "F|");
}

static void only_reads(void)
{
    struct client *s = socket_client(), *o = socket_client();
    done(s, XS_WRITE, "/c/a|1");
    uint32_t tx = start(s);
    says_in(s, tx, XS_READ, "1", "/c/a|");
    done(o, XS_WRITE, "/c/a|2");
    done_in(s, tx, END, "T|");
}

static void blind_write(void)
{
    struct client *s = socket_client(), *o = socket_client();
    done(s, XS_WRITE, "/c/a|1");
    uint32_t tx = start(s);
    done_in(s, tx, XS_WRITE, "/c/a|3");
    done(o, XS_WRITE, "/c/a|2");
    done_in(s, tx, END, "T|");
    says(s, XS_READ, "3", "/c/a|");
}

static void siblings(void)
{
    struct client *s = socket_client(), *o = socket_client();
    done(s, XS_MKDIR, "/c/d|");
    uint32_t one = start(s), two = start(o);
    done_in(s, one, XS_WRITE, "/c/d/one|1");
    done_in(o, two, XS_WRITE, "/c/d/two|2");
    done_in(s, one, END, "T|");
    done_in(o, two, END, "T|");
    says(s, XS_DIRECTORY, "one|two|", "/c/d|");
}

/* What the toolstack does for each new domain: it removes what may be left, and makes directories anew. */
static void begin_domain(struct client *c, uint32_t tx, unsigned int n)
{
    static const char *const places[] = {"/c/local/domain", "/c/vm", "/c/libxl"};
    for (unsigned int i = 0; i < 3; i++) {
        done_in(c, tx, XS_RM, "%s/%u|", places[i], n);
        done_in(c, tx, XS_MKDIR, "%s/%u|", places[i], n);
        done_in(c, tx, XS_SET_PERMS, "%s/%u|n0|r0|", places[i], n);
        done_in(c, tx, XS_WRITE, "%s/%u/name|guest", places[i], n);
    }
}

static void vm_starts(void)
{
    struct client *s = socket_client(), *o = socket_client();
    done(s, XS_MKDIR, "/c/local/domain|");
    done(s, XS_MKDIR, "/c/vm|");
    done(s, XS_MKDIR, "/c/libxl|");
    uint32_t one = start(s), two = start(o);
    begin_domain(s, one, 1);
    begin_domain(o, two, 2);
    done_in(s, one, END, "T|");
    done_in(o, two, END, "T|");
    says(s, XS_DIRECTORY, "1|2|", "/c/vm|");
}

/* ---- events ---- */

static void events_at_commit(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_MKDIR, "/c|");
    watch(w, "/c|t|");
    uint32_t tx = start(s);
    done_in(s, tx, XS_WRITE, "/c/a|v");
    hears_nothing(w);
    done_in(s, tx, END, "T|");
    hears(w, "/c/a|t|");
    tx = start(s);
    done_in(s, tx, XS_WRITE, "/c/a|v");
    done_in(s, tx, END, "F|");
    hears_nothing(w);
}

static void one_event(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_MKDIR, "/c|");
    watch(w, "/c|t|");
    uint32_t tx = start(s);
    for (unsigned int i = 0; i < 4; i++) {
        done_in(s, tx, XS_WRITE, "/c/b|%u", i);
        done_in(s, tx, XS_WRITE, "/c/a|%u", i);
    }
    done_in(s, tx, END, "T|");
    hears(w, "/c/b|t| /c/a|t|");
}

static void refused_is_silent(void)
{
    struct client *s = socket_client(), *o = socket_client(), *w = socket_client();
    done(s, XS_WRITE, "/c/a|1");
    uint32_t tx = start(s);
    says_in(s, tx, XS_READ, "1", "/c/a|");
    done_in(s, tx, XS_WRITE, "/c/b|v");
    done(o, XS_WRITE, "/c/a|2");
    watch(w, "/c|t|");
    says_in(s, tx, END, "!EAGAIN", "T|");
    hears_nothing(w);
}

static void guest_transaction(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    uint32_t tx = start(g);
    done_in(g, tx, XS_WRITE, "/c/its/a|v");
    says_in(g, tx, XS_WRITE, "!EACCES", "/tool/x|v");
    done_in(g, tx, END, "T|");
    says(s, XS_READ, "v", "/c/its/a|");
}

const struct rule tx_rules[] = {
    {"tx-commit", "T puts a transaction into force, F drops it, and nobody sees it before", commit_and_abort},
    {"tx-over", "its number is ENOENT afterwards", id_is_over},
    {"tx-unknown", "an unknown number is ENOENT", id_unknown},
    {"tx-own", "a number belongs to its connection", id_of_another},
    {"tx-nested", "a transaction in one is EBUSY", nested},
    {"tx-several", "a connection may have several", several},
    {"tx-end", "TRANSACTION_END has T or F", end_framing},
    {"tx-own-changes", "it sees what it has done", sees_own_changes},
    {"tx-conflict", "what was read and then changed is EAGAIN", real_conflict},
    {"tx-conflict-commit", "of two that read and write one node the second is EAGAIN", conflict_with_commit},
    {"tx-conflict-list", "a list that was read and has grown is EAGAIN", listing_conflict},
    {"tx-abort-no-conflict", "one that was dropped disturbs nobody", aborted_no_conflict},
    {"tx-unrelated", "changes elsewhere disturb nobody", unrelated},
    {"tx-snapshot", "what is first read late is as it was at the start", snapshot},
    {"tx-read-only", "one that only reads is never refused", only_reads},
    {"tx-blind-write", "nor one that writes without looking", blind_write},
    {"tx-siblings", "two may create in one directory", siblings},
    {"tx-vm-starts", "two starts of domains in one moment both succeed", vm_starts},
    {"tx-events", "events come with the commit", events_at_commit},
    {"tx-one-event", "one for each path, in the order of the first touch", one_event},
    {"tx-refused-silent", "a refused one fires nothing", refused_is_silent},
    {"tx-guest", "a guest's has its rights", guest_transaction},
    {NULL, NULL, NULL},
};
