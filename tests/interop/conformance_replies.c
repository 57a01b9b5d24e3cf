/* SPDX-License-Identifier: ISC */
/* Rules: how a request is framed, and what its answer looks like. */
#include "tests/interop/conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- framing ---- */

static const uint32_t single[] = {XS_READ,           XS_MKDIR,   XS_RM,     XS_DIRECTORY,
                                  XS_GET_PERMS,      XS_RELEASE, XS_RESUME, XS_IS_DOMAIN_INTRODUCED,
                                  XS_GET_DOMAIN_PATH};
#define SINGLES (sizeof(single) / sizeof(single[0]))

static const char *argument(uint32_t type)
{
    return type == XS_RELEASE || type == XS_RESUME || type == XS_IS_DOMAIN_INTRODUCED || type == XS_GET_DOMAIN_PATH
               ? "7"
               : "/c";
}

static void one_nul_missing(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c|");
    for (size_t i = 0; i < SINGLES; i++)
        says(s, single[i], "!EINVAL", "%s", argument(single[i]));
}

static void one_nul_more(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c|");
    for (size_t i = 0; i < SINGLES; i++) {
        says(s, single[i], "!EINVAL", "%s||", argument(single[i]));
        says(s, single[i], "!EINVAL", "%s|x|", argument(single[i]));
    }
}

static void one_nul_inside(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c|");
    for (size_t i = 0; i < SINGLES; i++)
        says(s, single[i], "!EINVAL", "%s|x", argument(single[i]));
}

static void no_payload(void)
{
    struct client *s = socket_client();
    for (size_t i = 0; i < SINGLES; i++)
        says(s, single[i], "!EINVAL", "%s", "");
    says(s, XS_WRITE, "!EINVAL", "%s", "");
    says(s, XS_WATCH, "!EINVAL", "%s", "");
    says(s, XS_SET_PERMS, "!EINVAL", "%s", "");
    says(s, XS_TRANSACTION_END, "!EINVAL", "%s", "");
}

static void no_payload_guest(void)
{
    struct client *g = guest(0);
    says(g, XS_READ, "!EINVAL", "%s", "");
    says(g, XS_WRITE, "!EINVAL", "%s", "");
}

static void write_needs_nul(void)
{
    struct client *s = socket_client();
    says(s, XS_WRITE, "!EINVAL", "/c/x");
}

static void messages_in_pieces(void)
{
    static const char payload[] = "/c/pieces\0value";
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
    struct client *s = socket_client(), *g = guest(0), *c[] = {s, g};
    done(s, XS_MKDIR, "/c|");
    done(s, XS_SET_PERMS, "/c|b0|");
    for (unsigned int k = 0; k < 2; k++) {
        const struct xids_xswire_part part = {payload, sizeof(payload) - 1};
        struct xids_xswire_msg msg;
        int n = xids_xswire_build(bytes, sizeof(bytes), XS_WRITE, 5, 0, &part, 1);
        NEED(n > 0);
        for (int i = 0; i < n; i++)
            send_bytes(c[k], bytes + i, 1);
        NEED(next_message(c[k], &msg));
        NEED(msg.type == XS_WRITE && msg.req_id == 5);
    }
    says(s, XS_READ, "value", "/c/pieces|");
}

/* Twenty requests at once: twenty answers in their order. */
static void pipelined(void)
{
    struct client *s = socket_client(), *g = guest(0), *c[] = {s, g};
    for (unsigned int k = 0; k < 2; k++) {
        uint32_t first = c[k]->last_id + 1;
        for (unsigned int i = 0; i < 20; i++)
            (void)send_request(c[k], XS_GET_DOMAIN_PATH, 0, "7", 2);
        for (unsigned int i = 0; i < 20; i++) {
            struct xids_xswire_msg msg;
            NEED(next_message(c[k], &msg));
            NEED(msg.type == XS_GET_DOMAIN_PATH && msg.req_id == first + i);
        }
    }
}

/* ---- answers ---- */

static void ok_with_nul(void)
{
    struct client *s = socket_client();
    says(s, XS_MKDIR, "OK|", "/c/a|");
    says(s, XS_WRITE, "OK|", "/c/a|v");
    says(s, XS_SET_PERMS, "OK|", "/c/a|n0|");
    says(s, XS_WATCH, "OK|", "/c/a|t|");
    says(s, XS_UNWATCH, "OK|", "/c/a|t|");
    says(s, XS_RM, "OK|", "/c/a|");
}

/* Type, req_id and tx_id come back. ask() looks at that for each answer; here the numbers are the extreme ones. */
static void header_comes_back(void)
{
    struct client *s = socket_client();
    struct xids_xswire_msg msg;
    s->last_id = UINT32_MAX - 1;
    done(s, XS_MKDIR, "/c|");
    says(s, XS_READ, "", "/c|");
    s->last_id = 0x7ffffffe;
    says(s, XS_READ, "", "/c|");
    says(s, XS_READ, "!ENOENT", "/c/no|");
    uint32_t tx = start(s);
    says_in(s, tx, XS_READ, "", "/c|");
    says_in(s, tx, XS_READ, "!ENOENT", "/c/no|");
    (void)send_request(s, XS_READ, tx, "/c/no", 6);
    NEED(next_message(s, &msg));
    NEED(msg.type == XS_ERROR && msg.tx_id == tx);
}

static void read_adds_no_nul(void)
{
    struct client *s = socket_client();
    done(s, XS_WRITE, "/c/a|value");
    says(s, XS_READ, "value", "/c/a|");
}

static void empty_directory(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c/a|");
    says(s, XS_DIRECTORY, "", "/c/a|");
}

static void creation_order(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c/d/zebra|");
    done(s, XS_MKDIR, "/c/d/ant|");
    done(s, XS_MKDIR, "/c/d/mole|");
    says(s, XS_DIRECTORY, "zebra|ant|mole|", "/c/d|");
    done(s, XS_RM, "/c/d/zebra|");
    done(s, XS_MKDIR, "/c/d/zebra|");
    says(s, XS_DIRECTORY, "ant|mole|zebra|", "/c/d|");
}

static void error_has_nul(void)
{
    struct client *s = socket_client();
    struct xids_xswire_msg msg;
    (void)send_request(s, XS_READ, 0, "/c/no", 6);
    NEED(next_message(s, &msg));
    NEED(msg.type == XS_ERROR && msg.len == 7 && memcmp(msg.payload, "ENOENT", 7) == 0);
}

static void fill(struct client *s, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        done(s, XS_MKDIR, "/c/many/child-%04u|", i);
}

static void big_directory(void)
{
    struct client *s = socket_client();
    fill(s, 372); /* 11 bytes each: 4092 */
    NEED(strlen(ask(s, XS_DIRECTORY, 0, "/c/many|")) == 4092);
    done(s, XS_MKDIR, "/c/many/child-0372|");
    says(s, XS_DIRECTORY, "!E2BIG", "/c/many|");
}

static void big_value(void)
{
    struct client *s = socket_client();
    char payload[XIDS_XSWIRE_PAYLOAD_MAX] = "/c/big";
    memset(payload + 7, 'v', sizeof(payload) - 7);
    NEED(strcmp(ask_bytes(s, XS_WRITE, 0, payload, sizeof(payload)), "OK|") == 0);
    NEED(strlen(ask(s, XS_READ, 0, "/c/big|")) == sizeof(payload) - 7);
}

/* ---- DIRECTORY_PART ---- */

static const char *after_generation(const char *part)
{
    char *end;
    (void)strtoull(part, &end, 10);
    NEED(end > part && *end == '|');
    return end + 1;
}

static void part_small(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c/d/one|");
    done(s, XS_MKDIR, "/c/d/two|");
    NEED(strcmp(after_generation(ask(s, XS_DIRECTORY_PART, 0, "/c/d|0|")), "one|two||") == 0);
    NEED(strcmp(after_generation(ask(s, XS_DIRECTORY_PART, 0, "/c/d|4|")), "two||") == 0);
}

static void part_end(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c/d/one|");
    NEED(strcmp(after_generation(ask(s, XS_DIRECTORY_PART, 0, "/c/d|4|")), "|") == 0);
    NEED(strcmp(after_generation(ask(s, XS_DIRECTORY_PART, 0, "/c/d|1000|")), "|") == 0);
    NEED(strcmp(after_generation(ask(s, XS_DIRECTORY_PART, 0, "/c/d/one|0|")), "|") == 0);
}

static void part_many(void)
{
    struct client *s = socket_client();
    unsigned int count = 600, seen = 0;
    size_t offset = 0;
    fill(s, count);
    for (bool last = false; !last;) {
        const char *names = after_generation(ask(s, XS_DIRECTORY_PART, 0, "/c/many|%zu|", offset));
        size_t len = strlen(names);
        last = len >= 2 && names[len - 2] == '|';
        for (size_t at = 0; at < len - (last ? 1 : 0); at += 11) {
            char want[24];
            (void)snprintf(want, sizeof(want), "child-%04u|", seen++);
            NEED(strncmp(names + at, want, 11) == 0);
        }
        offset += len - (last ? 1 : 0);
        NEED(len > 0 && seen <= count);
    }
    NEED(seen == count);
}

static void part_generation(void)
{
    struct client *s = socket_client();
    char before[32];
    done(s, XS_MKDIR, "/c/d/one|");
    (void)snprintf(before, sizeof(before), "%.30s", ask(s, XS_DIRECTORY_PART, 0, "/c/d|1000|"));
    says(s, XS_DIRECTORY_PART, before, "/c/d|1000|");
    done(s, XS_MKDIR, "/c/d/two|");
    NEED(strcmp(ask(s, XS_DIRECTORY_PART, 0, "/c/d|1000|"), before) != 0);
}

static void part_guest(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/d", g);
    done(g, XS_MKDIR, "/c/d/one|");
    NEED(strcmp(after_generation(ask(g, XS_DIRECTORY_PART, 0, "/c/d|0|")), "one||") == 0);
}

static void part_errors(void)
{
    struct client *s = socket_client();
    done(s, XS_MKDIR, "/c|");
    says(s, XS_DIRECTORY_PART, "!EINVAL", "/c|");
    says(s, XS_DIRECTORY_PART, "!EINVAL", "/c|0");
    says(s, XS_DIRECTORY_PART, "!EINVAL", "/c|0|0|");
    says(s, XS_DIRECTORY_PART, "!ENOENT", "/c/no|0|");
}

/* ---- types ---- */

static void unknown_types(void)
{
    static const uint32_t types[] = {XS_WATCH_EVENT, XS_ERROR, 20, 27, 1000, 65535, 0x80000000u, UINT32_MAX};
    struct client *s = socket_client(), *g = guest(0);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        says(s, types[i], "!ENOSYS", "/c|");
        says(g, types[i], "!ENOSYS", "/c|");
    }
}

const struct rule reply_rules[] = {
    {"framing-no-nul", "a single argument without its NUL is EINVAL", one_nul_missing},
    {"framing-two-nuls", "a single argument with another after it is EINVAL", one_nul_more},
    {"framing-nul-inside", "a single argument with bytes behind its NUL is EINVAL", one_nul_inside},
    {"framing-empty", "a request without payload is answered, with EINVAL", no_payload},
    {"framing-empty-guest", "so it is on a ring", no_payload_guest},
    {"framing-write", "WRITE without a NUL is EINVAL", write_needs_nul},
    {"framing-pieces", "a message may come byte by byte", messages_in_pieces},
    {"pipelined", "requests sent at once are answered in order", pipelined},
    {"reply-ok", "success is OK with its NUL", ok_with_nul},
    {"reply-header", "type, req_id and tx_id come back", header_comes_back},
    {"reply-read", "READ adds no NUL", read_adds_no_nul},
    {"reply-directory-empty", "an empty DIRECTORY is 0 bytes", empty_directory},
    {"reply-directory-order", "DIRECTORY has the order of creation", creation_order},
    {"reply-error", "an error is its name with a NUL", error_has_nul},
    {"reply-directory-big", "a DIRECTORY over 4096 bytes is E2BIG", big_directory},
    {"reply-value-big", "a message may hold 4096 bytes", big_value},
    {"part-small", "DIRECTORY_PART is a generation, names, and an empty name at the end", part_small},
    {"part-end", "from the end on it is the generation and an empty name", part_end},
    {"part-many", "its parts make up the list", part_many},
    {"part-generation", "its generation stays, until the list changes", part_generation},
    {"part-guest", "a guest may ask it", part_guest},
    {"part-errors", "DIRECTORY_PART has two arguments", part_errors},
    {"type-unknown", "an unknown type is ENOSYS", unknown_types},
    {NULL, NULL, NULL},
};
