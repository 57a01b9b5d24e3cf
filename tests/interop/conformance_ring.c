/* SPDX-License-Identifier: ISC */
/* Rules: the ring page, and connections that break the protocol. */
#include "tests/interop/conformance.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Until a word of the page has that value; a store that has gone round so often meanwhile will not set it any more. */
static bool becomes(const struct client *g, size_t offset, uint32_t value)
{
    static struct client *other;
    if (other == NULL)
        other = socket_client();
    for (int i = 0; i < 400 && page_word(g, offset) != value; i++) {
        (void)ask(other, XS_GET_DOMAIN_PATH, 0, "7|");
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    }
    return page_word(g, offset) == value;
}

static const uint32_t too_long[] = {XS_READ, 1, 0, 4097};

static void over_long_socket(void)
{
    struct client *s = socket_client(), *other = socket_client();
    struct xids_xswire_msg msg;
    send_bytes(s, too_long, sizeof(too_long));
    NEED(!next_message(s, &msg));
    NEED(s->closed);
    done(other, XS_MKDIR, "/c|");
}

static void over_long_ring(void)
{
    struct client *s = socket_client(), *g = guest(0);
    struct xids_xswire_msg msg;
    give(s, "/c/its", g);
    watch(g, "/c/its|t|");
    send_bytes(g, too_long, sizeof(too_long));
    NEED(becomes(g, FIELD(error), XENSTORE_ERROR_PROTO));
    done(s, XS_WRITE, "/c/its|v");
    (void)send_request(g, XS_READ, 0, "/c/its", 7);
    for (unsigned int i = 0; i < 20; i++)
        (void)ask(s, XS_GET_DOMAIN_PATH, 0, "7|");
    NEED(!next_message_within(g, &msg, 50));
    says(s, XS_IS_DOMAIN_INTRODUCED, "T|", "%u|", g->domid);
}

static void over_long_others(void)
{
    struct client *s = socket_client(), *g = guest(0), *h = guest(1);
    done(s, XS_WRITE, "/c/a|v");
    done(s, XS_SET_PERMS, "/c/a|r0|");
    send_bytes(g, too_long, sizeof(too_long));
    says(h, XS_READ, "v", "/c/a|");
    says(s, XS_READ, "v", "/c/a|");
}

/* Its death must still be seen: @releaseDomain comes when it dies, not before. */
static void over_long_death(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    watch(s, "@releaseDomain|r|");
    send_bytes(g, too_long, sizeof(too_long));
    NEED(becomes(g, FIELD(error), XENSTORE_ERROR_PROTO));
    says(s, XS_READ, "", "/c/its|");
    hears_nothing(s);
    domain_dies(g);
    wait_until_unknown(s, g);
    hears(s, "@releaseDomain|r|");
    says(s, XS_READ, "!ENOENT", "/c/its|");
}

static void bad_index(void)
{
    struct client *s = socket_client(), *g = guest(0), *h = guest(1);
    done(s, XS_MKDIR, "/c|");
    done(s, XS_SET_PERMS, "/c|r0|");
    set_page_word(g, FIELD(req_prod), page_word(g, FIELD(req_cons)) + XENSTORE_RING_SIZE + 1);
    notify_store(g);
    NEED(becomes(g, FIELD(error), XENSTORE_ERROR_RINGIDX));
    says(h, XS_READ, "", "/c|");
}

static void bad_reply_index(void)
{
    struct client *g = guest(0), *h = guest(1);
    set_page_word(g, FIELD(rsp_cons), page_word(g, FIELD(rsp_prod)) + 100000);
    /* More answers than a store can have thought there is room for. */
    for (unsigned int i = 0; i < 40; i++)
        (void)send_request(g, XS_GET_DOMAIN_PATH, 0, "7", 2);
    NEED(becomes(g, FIELD(error), XENSTORE_ERROR_RINGIDX));
    says(h, XS_GET_DOMAIN_PATH, "/local/domain/7|", "7|");
}

static void error_ends_with_introduce(void)
{
    struct client *s = socket_client(), *g = guest(0);
    send_bytes(g, too_long, sizeof(too_long));
    NEED(becomes(g, FIELD(error), XENSTORE_ERROR_PROTO));
    introduce(s, g);
    says(g, XS_GET_DOMAIN_PATH, "/local/domain/7|", "7|");
    NEED(page_word(g, FIELD(error)) == XENSTORE_ERROR_NONE);
}

static void error_offered(void)
{
    NEED((page_word(guest(0), FIELD(server_features)) & XIDS_XS_FEATURE_ERROR) != 0);
}

static void wraps(void)
{
    struct client *s = socket_client(), *g = guest(0);
    char value[700];
    memset(value, 'v', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    give(s, "/c/its", g);
    for (unsigned int i = 0; i < 20; i++) {
        done(g, XS_WRITE, "/c/its/a|%s", value);
        says(g, XS_READ, value, "/c/its/a|");
    }
}

static void bigger_than_ring(void)
{
    struct client *s = socket_client(), *g = guest(0);
    char value[1800];
    memset(value, 'w', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    give(s, "/c/its", g);
    done(g, XS_WRITE, "/c/its/a|%s", value);
    says(g, XS_READ, value, "/c/its/a|");
}

static void full_ring_waits(void)
{
    struct client *s = socket_client(), *g = guest(0), *h = guest(1);
    struct xids_xswire_msg msg;
    give(s, "/c/its", g);
    char value[600];
    memset(value, 'x', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    done(g, XS_WRITE, "/c/its/a|%s", value);
    for (unsigned int i = 0; i < 10; i++)
        (void)send_request(g, XS_READ, 0, "/c/its/a", 9);
    for (unsigned int i = 0; i < 10; i++)
        says(h, XS_GET_DOMAIN_PATH, "/local/domain/7|", "7|");
    for (unsigned int i = 0; i < 10; i++)
        NEED(next_message(g, &msg) && msg.type == XS_READ && msg.len == sizeof(value) - 1);
}

/* ---- reconnection ---- */

static void reconnect(struct client *g)
{
    NEED((page_word(g, FIELD(server_features)) & XIDS_XS_FEATURE_RECONNECTION) != 0);
    set_page_word(g, FIELD(connection), XENSTORE_RECONNECT);
    notify_store(g);
    NEED(becomes(g, FIELD(connection), XENSTORE_CONNECTED));
    reattach(g);
}

static void reconnect_offered(void)
{
    NEED((page_word(guest(0), FIELD(server_features)) & XIDS_XS_FEATURE_RECONNECTION) != 0);
}

static void reconnect_forgets(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    watch(g, "/c/its|t|");
    uint32_t tx = start(g);
    reconnect(g);
    done(s, XS_WRITE, "/c/its|v");
    hears_nothing(g);
    says_in(g, tx, XS_READ, "!ENOENT", "/c/its|");
    says(g, XS_READ, "v", "/c/its|");
}

static void reconnect_in_message(void)
{
    static const uint32_t half[] = {XS_WRITE, 9, 0, 40};
    struct client *g = guest(0);
    send_bytes(g, half, sizeof(half));
    NEED(becomes(g, FIELD(req_cons), page_word(g, FIELD(req_prod))));
    reconnect(g);
    says(g, XS_GET_DOMAIN_PATH, "/local/domain/7|", "7|");
}

/* What lies in the ring is not carried out, and what was answered and not fetched is gone. */
static void reconnect_empties(void)
{
    struct client *s = socket_client(), *g = guest(0);
    struct xids_xswire_msg msg;
    give(s, "/c/its", g);
    for (unsigned int i = 0; i < 30; i++)
        (void)send_request(g, XS_GET_DOMAIN_PATH, 0, "7", 2);
    reconnect(g);
    NEED(page_word(g, FIELD(req_cons)) == page_word(g, FIELD(req_prod)));
    NEED(page_word(g, FIELD(rsp_cons)) == page_word(g, FIELD(rsp_prod)));
    NEED(!next_message_within(g, &msg, 50));
    says(g, XS_READ, "", "/c/its|");
}

static void reconnect_after_error(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    send_bytes(g, too_long, sizeof(too_long));
    NEED(becomes(g, FIELD(error), XENSTORE_ERROR_PROTO));
    reconnect(g);
    NEED(page_word(g, FIELD(error)) == XENSTORE_ERROR_NONE);
    says(g, XS_READ, "", "/c/its|");
    watch(g, "/c/its|t|");
    done(s, XS_WRITE, "/c/its|v");
    hears(g, "/c/its|t|");
}

static void reconnect_keeps_nodes(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    done(g, XS_WRITE, "/c/its/a|v");
    watch(s, "@releaseDomain|r|");
    watch(s, "@introduceDomain|i|");
    reconnect(g);
    says(g, XS_READ, "v", "/c/its/a|");
    hears_nothing(s);
    says(s, XS_IS_DOMAIN_INTRODUCED, "T|", "%u|", g->domid);
}

/* A domain builder may leave the page so, that the guest waits for the store. */
static void introduce_connects(void)
{
    struct client *s = socket_client(), *g = uninformed_guest(0);
    set_page_word(g, FIELD(connection), XENSTORE_RECONNECT);
    introduce(s, g);
    NEED(becomes(g, FIELD(connection), XENSTORE_CONNECTED));
    says(g, XS_GET_DOMAIN_PATH, "/local/domain/7|", "7|");
}

const struct rule ring_rules[] = {
    {"long-socket", "a message over 4096 bytes closes the socket", over_long_socket},
    {"long-ring", "on a ring it sets error to 3, and nothing is served any more", over_long_ring},
    {"long-others", "others are served on", over_long_others},
    {"long-death", "the domain is known until it dies, and then its death is told", over_long_death},
    {"ring-index", "an impossible index of requests sets error to 2", bad_index},
    {"ring-reply-index", "so does one of answers", bad_reply_index},
    {"error-introduce", "INTRODUCE again ends the error", error_ends_with_introduce},
    {"error-feature", "server_features offers the error field", error_offered},
    {"ring-wraps", "messages go round the ring's end", wraps},
    {"ring-bigger", "a message may be larger than the ring", bigger_than_ring},
    {"ring-full", "answers wait until there is room, others do not", full_ring_waits},
    {"reconnect-feature", "server_features offers reconnection", reconnect_offered},
    {"reconnect", "reconnection ends watches and transactions", reconnect_forgets},
    {"reconnect-message", "it comes out of the middle of a message", reconnect_in_message},
    {"reconnect-empties", "both queues are empty after it", reconnect_empties},
    {"reconnect-error", "it ends an error", reconnect_after_error},
    {"reconnect-nodes", "nodes stay, and nobody else is told", reconnect_keeps_nodes},
    {"reconnect-introduce", "INTRODUCE of a page that says reconnect connects it", introduce_connects},
    {NULL, NULL, NULL},
};
