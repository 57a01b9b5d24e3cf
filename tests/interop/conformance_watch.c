/* SPDX-License-Identifier: ISC */
/* Rules: who is told of what, in which order, by which name. */
#include "tests/interop/conformance.h"

#include <stdio.h>
#include <string.h>

/* ---- registering ---- */

static void answer_first(void)
{
    struct client *s = socket_client(), *g = guest(0), *c[] = {s, g};
    struct xids_xswire_msg msg;
    done(s, XS_MKDIR, "/c|");
    done(s, XS_SET_PERMS, "/c|r0|");
    for (unsigned int k = 0; k < 2; k++) {
        (void)send_request(c[k], XS_WATCH, 0, "/c\0t", 5);
        NEED(next_message(c[k], &msg) && msg.type == XS_WATCH);
        NEED(next_message(c[k], &msg) && msg.type == XS_WATCH_EVENT);
        NEED(msg.len == 5 && memcmp(msg.payload, "/c\0t", 5) == 0 && msg.req_id == 0 && msg.tx_id == 0);
    }
}

static void first_event_missing(void)
{
    struct client *s = socket_client();
    done(s, XS_WATCH, "/c/no/such|t|");
    hears(s, "/c/no/such|t|");
}

static void first_event_unreadable(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_WRITE, "/c/secret|v");
    done(s, XS_SET_PERMS, "/c/secret|n0|");
    done(g, XS_WATCH, "/c/secret|t|");
    hears(g, "/c/secret|t|");
}

static void ignores_tx(void)
{
    struct client *s = socket_client();
    says_in(s, 12345, XS_WATCH, "OK|", "/c/a|t|");
    hears(s, "/c/a|t|");
    says_in(s, 12345, XS_UNWATCH, "OK|", "/c/a|t|");
}

static void token_empty(void)
{
    struct client *s = socket_client();
    done(s, XS_WATCH, "/c/a||");
    hears(s, "/c/a||");
    done(s, XS_UNWATCH, "/c/a||");
}

static void needs_two_nuls(void)
{
    struct client *s = socket_client();
    says(s, XS_WATCH, "!EINVAL", "/c/a|");
    says(s, XS_WATCH, "!EINVAL", "/c/a|t");
    says(s, XS_UNWATCH, "!EINVAL", "/c/a|");
}

static void twice(void)
{
    struct client *s = socket_client();
    watch(s, "/c/a|t|");
    says(s, XS_WATCH, "!EEXIST", "/c/a|t|");
    watch(s, "/c/a|u|");
    done(s, XS_WRITE, "/c/a|v");
    hears(s, "/c/a|t| /c/a|u|");
}

static void unwatch(void)
{
    struct client *s = socket_client();
    watch(s, "/c/a|t|");
    watch(s, "/c/a|u|");
    says(s, XS_UNWATCH, "!ENOENT", "/c/a|other|");
    says(s, XS_UNWATCH, "!ENOENT", "/c/b|t|");
    done(s, XS_UNWATCH, "/c/a|t|");
    says(s, XS_UNWATCH, "!ENOENT", "/c/a|t|");
    done(s, XS_WRITE, "/c/a|v");
    hears(s, "/c/a|u|");
}

static void any_special(void)
{
    struct client *s = socket_client();
    done(s, XS_WATCH, "@anything|t|");
    hears(s, "@anything|t|");
    done(s, XS_UNWATCH, "@anything|t|");
}

static void ends_with_connection(void)
{
    struct client *s = socket_client(), *other = socket_client();
    watch(s, "/c/a|t|");
    watch(other, "/c/a|t|");
    done(other, XS_UNWATCH, "/c/a|t|");
    done(other, XS_WRITE, "/c/a|v");
    hears_nothing(other);
    hears(s, "/c/a|t|");
}

/* ---- what fires ---- */

static void subtree(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_MKDIR, "/c/a/b|");
    done(s, XS_MKDIR, "/c/ab|");
    watch(w, "/c/a|t|");
    done(s, XS_WRITE, "/c/a/b/d|v");
    hears(w, "/c/a/b/d|t|");
    done(s, XS_WRITE, "/c/a|v");
    hears(w, "/c/a|t|");
    done(s, XS_WRITE, "/c/ab|v");
    done(s, XS_WRITE, "/c/ab/a|v");
    hears_nothing(w);
}

static void root_watch(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_MKDIR, "/c|");
    watch(w, "/|t|");
    done(s, XS_WRITE, "/c/a|v");
    hears(w, "/c/a|t|");
}

static void implicit_parents(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_MKDIR, "/c|");
    watch(w, "/c|t|");
    watch(w, "/c/a|u|");
    done(s, XS_WRITE, "/c/a/b/d|v");
    hears(w, "/c/a/b/d|t| /c/a/b/d|u|");
    done(s, XS_MKDIR, "/c/e/f|");
    hears(w, "/c/e/f|t|");
}

static void same_value(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_WRITE, "/c/a|v");
    watch(w, "/c/a|t|");
    done(s, XS_WRITE, "/c/a|v");
    hears(w, "/c/a|t|");
}

static void perms_fire(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_WRITE, "/c/a|v");
    watch(w, "/c/a|t|");
    done(s, XS_SET_PERMS, "/c/a|n0|");
    hears(w, "/c/a|t|");
}

static void mkdir_existing(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_MKDIR, "/c/a|");
    watch(w, "/c|t|");
    done(s, XS_MKDIR, "/c/a|");
    hears_nothing(w);
    done(s, XS_MKDIR, "/c/b|");
    hears(w, "/c/b|t|");
}

static void rm_missing_silent(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_MKDIR, "/c|");
    watch(w, "/c|t|");
    done(s, XS_RM, "/c/a|");
    hears_nothing(w);
}

static void failed_silent(void)
{
    struct client *s = socket_client(), *g = guest(0), *w = socket_client();
    done(s, XS_WRITE, "/c/a|v");
    done(s, XS_SET_PERMS, "/c/a|r0|");
    watch(w, "/c|t|");
    says(g, XS_WRITE, "!EACCES", "/c/a|w");
    says(s, XS_READ, "v", "/c/a|");
    says(s, XS_WRITE, "!EINVAL", "/c/a/|w");
    hears_nothing(w);
}

static void own_changes(void)
{
    struct client *s = socket_client();
    struct xids_xswire_msg msg;
    done(s, XS_MKDIR, "/c|");
    watch(s, "/c|t|");
    (void)send_request(s, XS_WRITE, 0, "/c/a\0v", 6);
    bool event = false, answer = false;
    while (!event || !answer) {
        NEED(next_message(s, &msg));
        event = event || msg.type == XS_WATCH_EVENT;
        answer = answer || msg.type == XS_WRITE;
    }
}

static void relative(void)
{
    struct client *s = socket_client(), *g = guest(0);
    char home[64];
    (void)snprintf(home, sizeof(home), "/local/domain/%u/data", g->domid);
    give(s, home, g);
    done(g, XS_WATCH, "data|t|");
    hears(g, "data|t|");
    done(s, XS_WRITE, "%s/x|v", home);
    hears(g, "data/x|t|");
    done(g, XS_WRITE, "data/x|w");
    hears(g, "data/x|t|");
    watch(g, "%s|u|", home);
    done(g, XS_WRITE, "data/x|x");
    hears(g, "data/x|t| %s/x|u|", home);
    done(g, XS_UNWATCH, "data|t|");
}

static void relative_socket(void)
{
    struct client *s = socket_client();
    done(s, XS_WATCH, "c-relative|t|");
    hears(s, "c-relative|t|");
    done(s, XS_WRITE, "/local/domain/0/c-relative|v");
    hears(s, "c-relative|t|");
    done(s, XS_RM, "c-relative|");
    hears(s, "c-relative|t|");
}

static void over_long(void)
{
    struct client *s = socket_client(), *w = socket_client();
    char token[3000];
    memset(token, 't', sizeof(token));
    token[sizeof(token) - 1] = '\0';
    done(s, XS_MKDIR, "/c|");
    watch(w, "/c|%s|", token);
    watch(w, "/c|short|");
    char path[1300] = "/c/";
    for (size_t i = 3; i < sizeof(path) - 1; i++)
        path[i] = i % 50 == 0 ? '/' : 'p';
    done(s, XS_WRITE, "%s|v", path);
    hears(w, "%s|short|", path);
    done(s, XS_WRITE, "/c/a|v");
    NEED(strlen(events_of(w)) == 2 * 5 + sizeof(token) - 1 + 5 + 2 + 1);
}

static void many_watchers(void)
{
    struct client *s = socket_client(), *w[20];
    for (unsigned int i = 0; i < 20; i++) {
        w[i] = socket_client();
        watch(w[i], "/c/a|t%u|", i);
    }
    done(s, XS_WRITE, "/c/a|v");
    for (unsigned int i = 0; i < 20; i++)
        hears(w[i], "/c/a|t%u|", i);
}

/* ---- who is told ---- */

static void unreadable_not_told(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c|");
    done(s, XS_SET_PERMS, "/c|n0|");
    done(s, XS_MKDIR, "/c/a|");
    done(s, XS_SET_PERMS, "/c/a|n0|");
    watch(g, "/c|t|");
    done(s, XS_WRITE, "/c/a|v");
    done(s, XS_WRITE, "/c/b|v");
    done(s, XS_RM, "/c/b|");
    hears_nothing(g);
}

static void readable_told(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c|");
    done(s, XS_SET_PERMS, "/c|n0|");
    done(s, XS_MKDIR, "/c/a|");
    done(s, XS_SET_PERMS, "/c/a|n0|r%u|", g->domid);
    watch(g, "/c|t|");
    done(s, XS_WRITE, "/c/a|v");
    hears(g, "/c/a|t|");
    done(s, XS_RM, "/c/a|");
    hears(g, "/c/a|t|");
}

/* The newer rule: who may read the directory may know that one of its nodes has changed. */
static void readable_parent_told(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c/d|");
    done(s, XS_SET_PERMS, "/c/d|r0|");
    done(s, XS_MKDIR, "/c/d/a|");
    done(s, XS_SET_PERMS, "/c/d/a|n0|");
    watch(g, "/c/d|t|");
    done(s, XS_WRITE, "/c/d/a|v");
    hears(g, "/c/d/a|t|");
}

static void right_lost_told(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c|");
    done(s, XS_SET_PERMS, "/c|n0|");
    done(s, XS_MKDIR, "/c/a|");
    done(s, XS_SET_PERMS, "/c/a|n0|r%u|", g->domid);
    watch(g, "/c|t|");
    done(s, XS_SET_PERMS, "/c/a|n0|");
    hears(g, "/c/a|t|");
    done(s, XS_WRITE, "/c/a|v");
    hears_nothing(g);
}

/* ---- depth ---- */

static void depth_limits(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_MKDIR, "/c/a/b/d|");
    done(w, XS_WATCH, "/c/a|zero|0|");
    done(w, XS_WATCH, "/c/a|one|1|");
    done(w, XS_WATCH, "/c/a|two|2|");
    (void)events_of(w);
    done(s, XS_WRITE, "/c/a|v");
    hears(w, "/c/a|zero| /c/a|one| /c/a|two|");
    done(s, XS_WRITE, "/c/a/b|v");
    hears(w, "/c/a/b|one| /c/a/b|two|");
    done(s, XS_WRITE, "/c/a/b/d|v");
    hears(w, "/c/a/b/d|two|");
    done(s, XS_WRITE, "/c/a/b/d/e|v");
    hears_nothing(w);
}

static void depth_guest(void)
{
    struct client *s = socket_client(), *g = guest(0);
    NEED((page_word(g, FIELD(server_features)) & XIDS_XS_FEATURE_WATCHDEPTH) != 0);
    give(s, "/c/a", g);
    done(g, XS_WATCH, "/c/a|t|0|");
    (void)events_of(g);
    done(g, XS_WRITE, "/c/a/b|v");
    hears_nothing(g);
}

static void depth_bad(void)
{
    struct client *s = socket_client();
    says(s, XS_WATCH, "!EINVAL", "/c/a|t|-1|");
    says(s, XS_WATCH, "!EINVAL", "/c/a|t|1|2|");
}

/* Clients send what is reserved as an empty string. */
static void depth_empty(void)
{
    struct client *s = socket_client(), *w = socket_client();
    done(s, XS_MKDIR, "/c/a|");
    done(w, XS_WATCH, "/c/a|t||");
    (void)events_of(w);
    done(s, XS_WRITE, "/c/a/b|v");
    hears_nothing(w);
    done(s, XS_WRITE, "/c/a|v");
    hears(w, "/c/a|t|");
}

static void depth_same_watch(void)
{
    struct client *s = socket_client();
    done(s, XS_WATCH, "/c/a|t|1|");
    says(s, XS_WATCH, "!EEXIST", "/c/a|t|2|");
    says(s, XS_WATCH, "!EEXIST", "/c/a|t|");
    done(s, XS_UNWATCH, "/c/a|t|");
}

/* ---- special watches ---- */

static void introduce_told(void)
{
    struct client *s = socket_client();
    watch(s, "@introduceDomain|t|");
    introduce(s, uninformed_guest(0));
    hears(s, "@introduceDomain|t|");
}

static void release_told(void)
{
    struct client *s = socket_client(), *g = guest(0);
    watch(s, "@releaseDomain|t|");
    done(s, XS_RELEASE, "%u|", g->domid);
    hears(s, "@releaseDomain|t|");
}

static void special_depth(void)
{
    struct client *s = socket_client(), *g;
    done(s, XS_WATCH, "@introduceDomain|i|1|");
    done(s, XS_WATCH, "@releaseDomain|r|1|");
    (void)events_of(s);
    g = uninformed_guest(0);
    introduce(s, g);
    hears(s, "@introduceDomain/%u|i|", g->domid);
    done(s, XS_RELEASE, "%u|", g->domid);
    hears(s, "@releaseDomain/%u|r|", g->domid);
}

static void release_one_domain(void)
{
    struct client *s = socket_client(), *g = guest(0), *other = guest(1);
    watch(s, "@releaseDomain/%u|t|", g->domid);
    done(s, XS_RELEASE, "%u|", other->domid);
    hears_nothing(s);
    done(s, XS_RELEASE, "%u|", g->domid);
    hears(s, "@releaseDomain/%u|t|", g->domid);
}

static void special_needs_right(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_SET_PERMS, "@introduceDomain|n0|");
    watch(g, "@introduceDomain|t|");
    introduce(s, uninformed_guest(1));
    hears_nothing(g);
    done(s, XS_SET_PERMS, "@introduceDomain|n0|r%u|", g->domid);
    (void)events_of(g);
    introduce(s, uninformed_guest(2));
    hears(g, "@introduceDomain|t|");
    done(s, XS_SET_PERMS, "@introduceDomain|n0|");
}

static void release_for_all(void)
{
    struct client *s = socket_client(), *g = guest(0), *other = guest(1);
    says(s, XS_GET_PERMS, "n0|r32757|", "@releaseDomain|");
    watch(g, "@releaseDomain|t|");
    done(s, XS_RELEASE, "%u|", other->domid);
    hears(g, "@releaseDomain|t|");
}

const struct rule watch_rules[] = {
    {"watch-answer-first", "the answer comes first, then one event", answer_first},
    {"watch-missing", "that event comes for a missing node", first_event_missing},
    {"watch-unreadable", "and for one that cannot be read", first_event_unreadable},
    {"watch-tx", "the tx_id of WATCH and UNWATCH is not looked at", ignores_tx},
    {"watch-token-empty", "a token may be empty", token_empty},
    {"watch-framing", "WATCH and UNWATCH need both NULs", needs_two_nuls},
    {"watch-twice", "a second watch of the same path and token is EEXIST", twice},
    {"unwatch", "UNWATCH takes one watch away, or is ENOENT", unwatch},
    {"watch-special-any", "any special name can be watched", any_special},
    {"watch-own", "watches belong to their connection", ends_with_connection},
    {"watch-subtree", "a change of the node and of all below fires", subtree},
    {"watch-root", "a watch of / sees all", root_watch},
    {"watch-implicit-parents", "parents made on the way fire nothing", implicit_parents},
    {"watch-same-value", "a WRITE of the same value fires", same_value},
    {"watch-perms", "SET_PERMS fires", perms_fire},
    {"watch-mkdir-existing", "MKDIR of what exists fires nothing", mkdir_existing},
    {"watch-rm-missing", "RM of what does not exist fires nothing", rm_missing_silent},
    {"watch-failed", "what fails fires nothing", failed_silent},
    {"watch-own-changes", "a connection is told of its own changes", own_changes},
    {"watch-relative", "a watch that was set relative is told relative", relative},
    {"watch-relative-socket", "also over a socket", relative_socket},
    {"watch-over-long", "an event that fits in no message is not sent", over_long},
    {"watch-many", "each watcher is told", many_watchers},
    {"watch-hidden", "a guest is not told of what it may not read", unreadable_not_told},
    {"watch-readable", "a guest is told of what it may read, also of its end", readable_told},
    {"watch-readable-parent", "and of what lies in a directory that it may read", readable_parent_told},
    {"watch-right-lost", "and once of a right that it loses", right_lost_told},
    {"depth", "a depth counts the levels below that matter", depth_limits},
    {"depth-guest", "depth is offered to guests, in server_features", depth_guest},
    {"depth-bad", "a negative depth, or a fourth string, is EINVAL", depth_bad},
    {"depth-empty", "an empty depth is 0", depth_empty},
    {"depth-same", "depth does not make another watch", depth_same_watch},
    {"special-introduce", "INTRODUCE fires @introduceDomain", introduce_told},
    {"special-release", "RELEASE fires @releaseDomain", release_told},
    {"special-depth", "with depth 1 the domid is told", special_depth},
    {"special-release-one", "@releaseDomain/N tells of that domain alone", release_one_domain},
    {"special-right", "special events are for who may read them", special_needs_right},
    {"special-release-all", "everybody may read @releaseDomain", release_for_all},
    {NULL, NULL, NULL},
};
