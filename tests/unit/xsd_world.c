/* SPDX-License-Identifier: ISC */
#include "tests/unit/xsd_world.h"

#include <stdio.h>
#include <string.h>

static int introduce(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    struct world *w = ctx;
    (void)conn;
    if (w->introduce_error != 0)
        return w->introduce_error;
    if (domid >= WORLD_DOMAINS || w->gone[domid])
        return -XEN_EINVAL;
    struct world_ring *r = &w->rings[domid];
    if (r->page == NULL)
        r->page = calloc(1, XIDS_PAGE_SIZE);
    r->port = port;
    r->introduced = true;
    w->replaced[domid] = false;
    *page = (void XIDS_PEER *)r->page;
    return 0;
}

static int rebind(void *ctx, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    struct world *w = ctx;
    (void)conn;
    w->rings[domid].port = port;
    return 0;
}

static void release(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    struct world *w = ctx;
    (void)conn;
    ck_assert(w->rings[domid].introduced);
    w->rings[domid].introduced = false;
}

static void notify(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    struct world *w = ctx;
    (void)conn;
    w->rings[domid].notified++;
}

static bool exists(void *ctx, uint16_t domid)
{
    struct world *w = ctx;
    return domid < WORLD_DOMAINS && !w->gone[domid];
}

static bool replaced(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    const struct world *w = ctx;
    ck_assert_ptr_eq(conn, xids_xs_server_domain(w->server, domid));
    ck_assert_uint_ne(domid, 0);
    return w->replaced[domid];
}

static void denied(void *ctx, uint16_t domid, const char *quota, const char *path)
{
    struct world *w = ctx;
    w->denials++;
    (void)snprintf(w->denied, sizeof(w->denied), "%u %s %s", domid, quota, path != NULL ? path : "-");
}

static int report(void *ctx, const char *file, const char *text, size_t len)
{
    struct world *w = ctx;
    size_t name = strlen(file);
    ck_assert(name + len < sizeof(w->report) && text[len - 1] == '\n');
    memcpy(w->report, file, name);
    memcpy(w->report + name, text, len);
    w->report[name + len] = '\0';
    return strcmp(file, "/full") == 0 ? -XEN_ENOSPC : 0;
}

static int control(void *ctx, struct xids_xs_conn *conn, char *answer, size_t room, const struct xids_xswire_str *argv,
                   unsigned int argc)
{
    struct world *w = ctx;
    (void)conn;
    (void)answer;
    (void)room;
    if (argc != 1 || argv[0].len != 5 || memcmp(argv[0].s, "later", 5) != 0)
        return -XEN_EINVAL;
    w->asked_later++;
    return XIDS_XS_LATER;
}

int world_server(struct world *w)
{
    const struct xids_xs_host host = {.introduce = introduce,
                                      .rebind = rebind,
                                      .release = release,
                                      .notify = notify,
                                      .exists = exists,
                                      .replaced = replaced,
                                      .denied = denied,
                                      .report = report,
                                      .control = control,
                                      .ctx = w};
    const struct xids_xs_server_config config = {.alloc = counting_alloc(&w->alloc),
                                                 .seed = "the same always",
                                                 .limits = w->has_limits ? &w->limits : NULL,
                                                 .host = &host,
                                                 .own_domid = w->own,
                                                 .privileged_domid = w->privileged};
    return xids_xs_server_new(&w->server, &config);
}

static struct world *up(const struct xids_xs_limits *limits, uint16_t own, uint16_t privileged)
{
    struct world *w = calloc(1, sizeof(*w));
    ck_assert_ptr_nonnull(w);
    w->own = own;
    w->privileged = privileged;
    w->has_limits = limits != NULL;
    if (limits != NULL)
        w->limits = *limits;
    ck_assert_int_eq(world_server(w), 0);
    return w;
}

struct world *world_up_with(const struct xids_xs_limits *limits)
{
    return up(limits, 0, 0);
}

struct world *world_up_as(uint16_t own, uint16_t privileged)
{
    return up(NULL, own, privileged);
}

struct world *world_up(void)
{
    return world_up_with(NULL);
}

void world_down(struct world *w)
{
    while (xids_xs_server_idle(w->server, 10000)) {
    }
    const char *broken = xids_store_check(xids_xs_server_store(w->server));
    ck_assert_msg(broken == NULL, "the tree has %s", broken);
    xids_xs_server_free(w->server);
    ck_assert_uint_eq(w->alloc.blocks, 0);
    ck_assert_uint_eq(w->alloc.bytes, 0);
    for (unsigned int i = 0; i < WORLD_DOMAINS; i++)
        free(w->rings[i].page);
    free(w);
}

struct xids_xs_conn *world_socket(struct world *w)
{
    struct xids_xs_conn *conn;
    ck_assert_int_eq(xids_xs_server_connect(w->server, &conn, NULL), 0);
    return conn;
}

/* ---- text ---- */

static size_t request(uint8_t *out, uint32_t type, uint32_t tx, const char *payload)
{
    char bytes[XIDS_XSWIRE_PAYLOAD_MAX];
    size_t len = strlen(payload);
    ck_assert_uint_le(len, sizeof(bytes));
    for (size_t i = 0; i < len; i++)
        bytes[i] = payload[i] == '|' ? '\0' : payload[i];
    const struct xids_xswire_part part = {bytes, len};
    int n = xids_xswire_build(out, XIDS_XSWIRE_MESSAGE_MAX, type, 77, tx, &part, 1);
    ck_assert_int_gt(n, 0);
    return (size_t)n;
}

static const char *type_name(uint32_t type)
{
    static const char *const names[] = {
        [XS_CONTROL] = "control",
        [XS_DIRECTORY] = "directory",
        [XS_READ] = "read",
        [XS_GET_PERMS] = "get-perms",
        [XS_WATCH] = "watch",
        [XS_UNWATCH] = "unwatch",
        [XS_TRANSACTION_START] = "start",
        [XS_TRANSACTION_END] = "end",
        [XS_INTRODUCE] = "introduce",
        [XS_RELEASE] = "release",
        [XS_GET_DOMAIN_PATH] = "path",
        [XS_WRITE] = "write",
        [XS_MKDIR] = "mkdir",
        [XS_RM] = "rm",
        [XS_SET_PERMS] = "set-perms",
        [XS_WATCH_EVENT] = "event",
        [XS_ERROR] = "error",
        [XS_IS_DOMAIN_INTRODUCED] = "introduced",
        [XS_RESUME] = "resume",
        [XS_SET_TARGET] = "target",
        [XS_RESET_WATCHES] = "reset",
        [XS_DIRECTORY_PART] = "part",
        [XIDS_XS_GET_FEATURE] = "get-feature",
        [XIDS_XS_SET_FEATURE] = "set-feature",
        [XIDS_XS_GET_QUOTA] = "get-quota",
        [XIDS_XS_SET_QUOTA] = "set-quota",
    };
    return type < sizeof(names) / sizeof(names[0]) && names[type] != NULL ? names[type] : "?";
}

/* Turns whole messages into text; returns the bytes used. */
static size_t to_text(struct world *w, const uint8_t *bytes, size_t len)
{
    size_t used = 0, at = 0;
    struct xids_xswire_msg msg;
    int n;
    w->text[0] = '\0';
    while ((n = xids_xswire_peek(&msg, bytes + used, len - used)) > 0) {
        used += (size_t)n;
        if (msg.type == XS_WATCH_EVENT) {
            ck_assert_uint_eq(msg.req_id, 0);
            ck_assert_uint_eq(msg.tx_id, 0);
        } else {
            ck_assert_uint_eq(msg.req_id, 77);
        }
        ck_assert_uint_lt(at + msg.len + 40, sizeof(w->text));
        at += (size_t)sprintf(w->text + at, "%s%s ", at > 0 ? "\n" : "", type_name(msg.type));
        for (uint32_t i = 0; i < msg.len; i++)
            w->text[at++] = msg.payload[i] == '\0' ? '|' : msg.payload[i];
        w->text[at] = '\0';
    }
    ck_assert_int_eq(n, 0);
    return used;
}

/* ---- sockets ---- */

const char *heard(struct world *w, struct xids_xs_conn *conn)
{
    const void *bytes;
    size_t len = xids_xs_server_output(conn, &bytes);
    ck_assert_uint_eq(to_text(w, bytes, len), len);
    xids_xs_server_sent(conn, len);
    return w->text;
}

const char *ask_tx(struct world *w, struct xids_xs_conn *conn, uint32_t tx, uint32_t type, const char *payload)
{
    uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    size_t used, n = request(out, type, tx, payload);
    ck_assert_int_eq(xids_xs_server_input(conn, &used, out, n), 0);
    ck_assert_uint_eq(used, n);
    return heard(w, conn);
}

const char *ask(struct world *w, struct xids_xs_conn *conn, uint32_t type, const char *payload)
{
    return ask_tx(w, conn, 0, type, payload);
}

uint32_t tx_start(struct world *w, struct xids_xs_conn *conn)
{
    const char *text = ask(w, conn, XS_TRANSACTION_START, "|");
    ck_assert_int_eq(strncmp(text, "start ", 6), 0);
    return (uint32_t)strtoul(text + 6, NULL, 10);
}

static const char *used_line(struct world *w, uint16_t domid, const char *quota)
{
    char payload[32];
    struct xids_xs_conn *conn = world_socket(w);
    (void)sprintf(payload, "quota|%u|", domid);
    const char *text = ask(w, conn, XS_CONTROL, payload);
    ck_assert_msg(strncmp(text, "control Domain ", 15) == 0, "%s", text);
    xids_xs_server_disconnect(conn);
    for (const char *line = text; (line = strchr(line, '\n')) != NULL; line++) {
        if (strncmp(line + 1, quota, strlen(quota)) == 0 && strchr(" :", line[1 + strlen(quota)]) != NULL)
            return strchr(line, ':') + 1;
    }
    ck_abort_msg("no line of %s in: %s", quota, text);
}

unsigned long world_used(struct world *w, uint16_t domid, const char *quota)
{
    return strtoul(used_line(w, domid, quota), NULL, 10);
}

unsigned long world_most(struct world *w, uint16_t domid, const char *quota)
{
    return strtoul(strstr(used_line(w, domid, quota), "(max") + 4, NULL, 10);
}

/* ---- rings ---- */

static void attach(struct world_ring *r)
{
    const struct xids_bytering_layout out = xids_bytering_xenstore_requests((void XIDS_PEER *)r->page);
    const struct xids_bytering_layout in = xids_bytering_xenstore_replies((void XIDS_PEER *)r->page);
    ck_assert_int_eq(xids_bytering_attach(&r->out, &out, true), 0);
    ck_assert_int_eq(xids_bytering_attach(&r->in, &in, false), 0);
    r->nheard = 0;
}

void world_introduce(struct world *w, uint16_t domid)
{
    struct world_ring *r = &w->rings[domid];
    struct xids_xs_conn *conn = world_socket(w);
    if (domid == w->privileged) {
        struct xids_xs_conn *own;
        r->page = calloc(1, XIDS_PAGE_SIZE);
        ck_assert_int_eq(xids_xs_server_introduce(w->server, &own, NULL, domid, (void XIDS_PEER *)r->page, false), 0);
    } else {
        char payload[40];
        (void)sprintf(payload, "%u|0|7|", domid);
        EXPECT(conn, XS_INTRODUCE, payload, "introduce OK|");
    }
    attach(r);
    xids_xs_server_disconnect(conn);
}

void world_home(struct world *w, uint16_t domid)
{
    char payload[64];
    struct xids_xs_conn *conn = world_socket(w);
    world_introduce(w, domid);
    (void)sprintf(payload, "/local/domain/%u|", domid);
    EXPECT(conn, XS_WRITE, payload, "write OK|");
    (void)sprintf(payload, "/local/domain/%u|n%u|", domid, domid);
    EXPECT(conn, XS_SET_PERMS, payload, "set-perms OK|");
    xids_xs_server_disconnect(conn);
}

void dom_pump(struct world *w, uint16_t domid)
{
    struct world_ring *r = &w->rings[domid];
    (void)xids_xs_server_ready(w->server);
    for (int n = 1; n > 0;) {
        struct xids_xs_conn *conn = xids_xs_server_domain(w->server, domid);
        if (conn != NULL)
            xids_xs_server_ring_event(conn);
        ck_assert_uint_lt(r->nheard + 1024, sizeof(r->heard));
        n = xids_bytering_read(&r->in, r->heard + r->nheard, 1024);
        ck_assert_int_ge(n, 0);
        r->nheard += (size_t)n;
        (void)xids_bytering_publish(&r->in);
    }
}

void dom_send(struct world *w, uint16_t domid, const void *bytes, size_t len)
{
    struct world_ring *r = &w->rings[domid];
    const uint8_t *at = bytes;
    for (unsigned int idle = 0; len > 0 && idle < 100; idle++) {
        int n = xids_bytering_write(&r->out, at, (uint32_t)len);
        ck_assert_int_ge(n, 0);
        if (n == 0)
            (void)xids_xs_server_idle(w->server, 1); /* it has had its share */
        at += n;
        len -= (size_t)n;
        (void)xids_bytering_publish(&r->out);
        dom_pump(w, domid);
    }
    ck_assert_uint_eq(len, 0);
}

const char *dom_heard(struct world *w, uint16_t domid)
{
    struct world_ring *r = &w->rings[domid];
    dom_pump(w, domid);
    size_t used = to_text(w, r->heard, r->nheard);
    memmove(r->heard, r->heard + used, r->nheard - used);
    r->nheard -= used;
    return w->text;
}

const char *dom_ask_tx(struct world *w, uint16_t domid, uint32_t tx, uint32_t type, const char *payload)
{
    uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    size_t n = request(out, type, tx, payload);
    dom_send(w, domid, out, n);
    return dom_heard(w, domid);
}

const char *dom_ask(struct world *w, uint16_t domid, uint32_t type, const char *payload)
{
    return dom_ask_tx(w, domid, 0, type, payload);
}

uint32_t dom_tx_start(struct world *w, uint16_t domid)
{
    const char *text = dom_ask(w, domid, XS_TRANSACTION_START, "|");
    ck_assert_int_eq(strncmp(text, "start ", 6), 0);
    return (uint32_t)strtoul(text + 6, NULL, 10);
}
