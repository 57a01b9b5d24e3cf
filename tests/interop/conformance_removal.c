/* SPDX-License-Identifier: ISC */
/* Rules: RM, and what is left and told when a domain dies. */
#include "tests/interop/conformance.h"

#include <stdio.h>
#include <string.h>

static void rm_missing_leaf(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c|");
    done(s, XS_RM, "/c/no|");
}

static void rm_missing_parent(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c|");
    says(s, XS_RM, "!ENOENT", "/c/no/such|");
}

/* In a transaction that is given up: one store wipes everything. */
static void rm_root(void)
{
    struct client *s = socket_client();
    uint32_t tx = start(s);
    says_in(s, tx, XS_RM, "!EINVAL", "/|");
    done_in(s, tx, XS_TRANSACTION_END, "F|");
}

static void rm_recursive(void)
{
    struct client *s = socket_client();
    done(s, XS_WRITE, "/c/a/b/d|v");
    done(s, XS_WRITE, "/c/a/e|v");
    done(s, XS_RM, "/c/a|");
    says(s, XS_READ, "!ENOENT", "/c/a/b/d|");
    says(s, XS_READ, "!ENOENT", "/c/a|");
    says(s, XS_DIRECTORY, "", "/c|");
}

static void rm_order(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_MKDIR, "/c/a/b/d|");
    done(s, XS_MKDIR, "/c/a/e|");
    watch(w, "/c/a|a|");
    watch(w, "/c/a/b|b|");
    watch(w, "/c/a/b/d|d|");
    watch(w, "/c/a/e|e|");
    watch(w, "/c|c|");
    done(s, XS_RM, "/c/a|");
    hears(w, "/c/a/b/d|d| /c/a/b|b| /c/a/e|e| /c/a|a| /c/a|c|");
}

static void rm_never_existed(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_MKDIR, "/c/a/b|");
    watch(w, "/c/a/never|n|");
    watch(w, "/c/a/b/never|m|");
    done(s, XS_RM, "/c/a|");
    hears_nothing(w);
}

static void rm_no_right(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c|");
    done(s, XS_SET_PERMS, "/c|r0|");
    done(s, XS_MKDIR, "/c/a|");
    says(g, XS_RM, "!EACCES", "/c/a|");
    says(g, XS_RM, "!EACCES", "/c/no|");
    done(s, XS_SET_PERMS, "/c/a|w0|");
    done(g, XS_RM, "/c/a|");
}

/* ---- death ---- */

static void death_owned(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    done(g, XS_WRITE, "/c/its/a/b|v");
    done(s, XS_MKDIR, "/c/other|");
    domain_dies(g);
    wait_until_unknown(s, g);
    says(s, XS_DIRECTORY, "other|", "/c|");
}

static void death_owned_events(void)
{
    struct client *s = socket_client(), *g = guest(0), *w = socket_client();
    give(s, "/c/its", g);
    done(g, XS_WRITE, "/c/its/a|v");
    watch(w, "/c|t|");
    watch(w, "/c/its/a|u|");
    domain_dies(g);
    wait_until_unknown(s, g);
    hears(w, "/c/its/a|u| /c/its|t|");
}

static void death_order(void)
{
    struct client *s = socket_client(), *g = guest(0), *w = socket_client();
    give(s, "/c/its", g);
    watch(w, "/c|t|");
    watch(w, "@releaseDomain|r|");
    domain_dies(g);
    wait_until_unknown(s, g);
    hears(w, "/c/its|t| @releaseDomain|r|");
}

static void death_entries(void)
{
    struct client *s = socket_client(), *g = guest(0), *h = guest(1);
    done(s, XS_MKDIR, "/c/a|");
    done(s, XS_SET_PERMS, "/c/a|n0|b%u|r%u|w%u|", g->domid, h->domid, g->domid);
    domain_dies(g);
    wait_until_unknown(s, g);
    char want[32];
    (void)snprintf(want, sizeof(want), "n0|r%u|", h->domid);
    says(s, XS_GET_PERMS, want, "/c/a|");
}

static void death_special(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_SET_PERMS, "@introduceDomain|n0|r%u|", g->domid);
    domain_dies(g);
    wait_until_unknown(s, g);
    says(s, XS_GET_PERMS, "n0|", "@introduceDomain|");
}

static void death_watches(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    watch(g, "/c/its|t|");
    uint32_t tx = start(g);
    done_in(g, tx, XS_WRITE, "/c/its/a|v");
    domain_dies(g);
    wait_until_unknown(s, g);
    done(s, XS_WRITE, "/c/its|v");
    says(s, XS_READ, "!ENOENT", "/c/its/a|");
}

static void release_is_death(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    done(s, XS_RELEASE, "%u|", g->domid);
    says(s, XS_IS_DOMAIN_INTRODUCED, "F|", "%u|", g->domid);
    says(s, XS_READ, "!ENOENT", "/c/its|");
    says(s, XS_RELEASE, "!ENOENT", "%u|", g->domid);
}

static void shutdown_told(void)
{
    struct client *s = socket_client(), *g = guest(0);
    struct xids_xswire_msg msg;
    give(s, "/c/its", g);
    watch(s, "@releaseDomain|r|");
    domain_shuts_down(g);
    NEED(next_message(s, &msg) && msg.type == XS_WATCH_EVENT);
    says(s, XS_IS_DOMAIN_INTRODUCED, "T|", "%u|", g->domid);
    says(s, XS_READ, "", "/c/its|");
}

/* A domain that has shut down is told of once, until RESUME. */
static void resume_tells_again(void)
{
    struct client *s = socket_client(), *g = guest(0), *w = socket_client();
    struct xids_xswire_msg msg;
    watch(w, "@releaseDomain|r|");
    domain_shuts_down(g);
    NEED(next_message(w, &msg) && msg.type == XS_WATCH_EVENT);
    domain_resumes(g);
    done(s, XS_RESUME, "%u|", g->domid);
    (void)events_of(w);
    domain_shuts_down(g);
    NEED(next_message(w, &msg) && msg.type == XS_WATCH_EVENT);
}

static void next_domain_gets_nothing(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    done(s, XS_WRITE, "/c/shared|v");
    done(s, XS_SET_PERMS, "/c/shared|n0|r%u|", g->domid);
    says(g, XS_READ, "v", "/c/shared|");
    watch(g, "/c/shared|t|");
    domain_dies(g);
    wait_until_unknown(s, g);
    g = reborn(0);
    introduce(s, g);
    says(g, XS_READ, "!EACCES", "/c/shared|");
    done(s, XS_WRITE, "/c/shared|w");
    hears_nothing(g);
}

const struct rule removal_rules[] = {
    {"rm-missing-leaf", "RM of a missing node in a directory is fine", rm_missing_leaf},
    {"rm-missing-parent", "RM below a missing one is ENOENT", rm_missing_parent},
    {"rm-root", "RM of / is EINVAL", rm_root},
    {"rm-recursive", "RM takes all below", rm_recursive},
    {"rm-order", "children fire first, on exactly their watches, then the node for who is above", rm_order},
    {"rm-never-existed", "RM tells no watch on what never existed", rm_never_existed},
    {"rm-right", "RM needs the right to write the node", rm_no_right},
    {"death-owned", "what a dead domain owned is gone, with all below", death_owned},
    {"death-events", "its removal fires", death_owned_events},
    {"death-order", "and then @releaseDomain does", death_order},
    {"death-entries", "its entries are struck from the permissions of others", death_entries},
    {"death-special", "also from those of special nodes", death_special},
    {"death-transaction", "its watches and transactions are gone", death_watches},
    {"release-death", "RELEASE is as a death, and then ENOENT", release_is_death},
    {"shutdown-told", "a shutdown fires @releaseDomain and takes nothing away", shutdown_told},
    {"resume", "after RESUME the next shutdown is told", resume_tells_again},
    {"death-nothing-left", "nothing of it is left for the next domain", next_domain_gets_nothing},
    {NULL, NULL, NULL},
};
