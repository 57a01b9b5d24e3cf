/* SPDX-License-Identifier: ISC */
/*
 * What xenstore says of the channels: docs/spec/randomd.md, 2.1. Nothing here is a secret. New nodes take their
 * parent's permissions, so the two directories are given theirs while they are empty.
 *
 * Nobody waits for the store. What is to be done for a guest is done in talks: a few requests that go out one behind
 * the other and whose answers are awaited together. xenstored answers a connection in order; so two talks are needed
 * only where the second must not happen when the first has failed. Many guests' talks are under way at once.
 */
#include "randomd/daemon.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 96u
#define SENT 0
#define NO_MORE 1

static struct xids_xs_client *client_of(const struct daemon *d)
{
    return xids_xs_client(d->xs);
}

static void backend_path(char path[PATH_BYTES], const struct guest *g, const char *leaf)
{
    if (leaf == NULL)
        snprintf(path, PATH_BYTES, "/local/domain/%u/backend/randomd/%u", g->d->domid, g->domid);
    else
        snprintf(path, PATH_BYTES, "/local/domain/%u/backend/randomd/%u/%u%s", g->d->domid, g->domid, g->device, leaf);
}

static void home_path(char path[PATH_BYTES], const struct guest *g, const char *leaf)
{
    snprintf(path, PATH_BYTES, "/local/domain/%u%s", g->domid, leaf);
}

/* What a domain of its own is told to serve this guest, by us. */
static void second_path(char path[PATH_BYTES], const struct guest *g, const char *leaf)
{
    snprintf(path, PATH_BYTES, "/local/domain/%u/backend/randomd/%u%s", g->d->config.entropy_domain, g->domid, leaf);
}

/* ---- the queue of guests that have something to say ---- */

void publish_queue(struct guest *g)
{
    struct daemon *d = g->d;
    if (g->queued)
        return;
    g->queued = true;
    g->next_queued = NULL;
    *d->talkers_end = g;
    d->talkers_end = &g->next_queued;
}

static struct guest *unqueue(struct daemon *d)
{
    struct guest *g = d->talkers;
    d->talkers = g->next_queued;
    if (d->talkers == NULL)
        d->talkers_end = &d->talkers;
    g->queued = false;
    return g;
}

/* ---- answers ---- */

static void answered(struct guest *g, int rc)
{
    g->d->store_late = g->d->store_late || rc == -XEN_ETIMEDOUT;
    if (rc < 0 && g->rc == 0)
        g->rc = (int16_t)rc;
    if (--g->pending == 0)
        publish_queue(g);
}

static void on_done(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    (void)len;
    answered(ctx, rc);
}

static void on_removed(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    (void)len;
    answered(ctx, rc == -XEN_ENOENT ? 0 : rc);
}

static void on_introduced(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct guest *g = ctx;
    g->introduced = rc == 0 && len > 0 && *(const char *)payload == 'T';
    answered(g, rc);
}

/* The value is usually /vm/ and a uuid. Something else is hashed. */
static void name_vm(uint8_t vm[16], const char *value, uint32_t len)
{
    static const char begin[] = "/vm/";
    struct xids_blake2s b;
    if (len >= sizeof(begin) - 1 && memcmp(value, begin, sizeof(begin) - 1) == 0 &&
        uuid_from(vm, value + sizeof(begin) - 1, len - (uint32_t)(sizeof(begin) - 1)))
        return;
    if (xids_blake2s_init(&b, 16, NULL, 0) != 0)
        return; /* the length is right */
    xids_blake2s_update(&b, value, len);
    xids_blake2s_final(&b, vm);
}

/* What its home says of who it is. */
static void on_vm(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct guest *g = ctx;
    uint8_t vm[sizeof(g->vm)] = {0};
    if (rc == 0)
        name_vm(vm, payload, len);
    g->other = !g->fresh && memcmp(vm, g->vm, sizeof(vm)) != 0;
    if (g->fresh)
        memcpy(g->vm, vm, sizeof(vm));
    answered(g, rc == -XEN_ENOENT ? 0 : rc);
}

static bool is_text(const char *text, const void *payload, uint32_t len)
{
    return strlen(text) == len && memcmp(text, payload, len) == 0;
}

static void on_pointer(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct guest *g = ctx;
    char path[PATH_BYTES];
    backend_path(path, g, "");
    g->pointed = rc == 0 && is_text(path, payload, len);
    answered(g, rc == -XEN_ENOENT ? 0 : rc);
}

static void on_version(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct guest *g = ctx;
    char version[12];
    snprintf(version, sizeof(version), "%u", XIDS_RANDOMD_VERSION);
    g->versioned = rc == 0 && is_text(version, payload, len);
    answered(g, rc == -XEN_ENOENT ? 0 : rc);
}

static void on_device(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct guest *g = ctx;
    (void)payload;
    (void)len;
    g->made_device = g->made_device || rc == -XEN_ENOENT;
    answered(g, rc == -XEN_ENOENT ? 0 : rc);
}

static void on_left(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct guest *g = ctx;
    (void)payload;
    g->emptied = rc == 0 && len == 0;
    answered(g, rc == -XEN_ENOENT ? 0 : rc);
}

/* An entropy domain's own: the devices that its toolstack has made for the guest. The lowest is served. */
static void on_devices(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct guest *g = ctx;
    const char *name = payload;
    uint32_t at = 0, device, lowest = DEVICES;
    for (uint32_t i = 0; rc == 0 && i < len; i++) {
        if (name[i] != '\0')
            continue;
        if (xids_xswire_decimal(&device, name + at, i - at, DEVICES - 1) == 0 && device < lowest)
            lowest = device;
        at = i + 1;
    }
    g->introduced = lowest < DEVICES;
    g->other = !g->fresh && lowest != g->device;
    if (g->fresh && g->introduced)
        g->device = (uint8_t)lowest;
    answered(g, rc == -XEN_ENOENT ? 0 : rc);
}

/* And what we have put into that directory: when it has gone, so had the directory. */
static void on_port(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct guest *g = ctx;
    (void)payload;
    (void)len;
    g->pointed = rc == 0;
    answered(g, rc == -XEN_ENOENT ? 0 : rc);
}

/* ---- requests ---- */

static int write_text(struct guest *g, const char *path, const char *text)
{
    return xids_xs_client_write(client_of(g->d), 0, path, text, (uint32_t)strlen(text), on_done, g);
}

static int write_number(struct guest *g, const char *path, uint32_t number)
{
    char text[12];
    snprintf(text, sizeof(text), "%" PRIu32, number);
    return write_text(g, path, text);
}

/* Owned by one domain, and read by the guest when it is not the owner. */
static int set_perms(struct guest *g, const char *path, domid_t owner, bool readable)
{
    char perms[16];
    int first = snprintf(perms, sizeof(perms), "n%u", owner) + 1, second = 0;
    if (readable)
        second = snprintf(perms + first, sizeof(perms) - (size_t)first, "r%u", g->domid) + 1;
    return xids_xs_client_set_perms(client_of(g->d), 0, path, perms, (uint32_t)(first + second), on_done, g);
}

static int make(struct guest *g, const char *path)
{
    return xids_xs_client_mkdir(client_of(g->d), 0, path, on_done, g);
}

static int rm(struct guest *g, const char *path)
{
    return xids_xs_client_rm(client_of(g->d), 0, path, on_removed, g);
}

/* ---- talks: each sends its nth request, or says that there is none ---- */

static int say_probe(struct guest *g, unsigned int n)
{
    struct xids_xs_client *c = client_of(g->d);
    char path[PATH_BYTES];
    struct xids_xswire_part id = {.data = path};
    if (g->d->config.discover) {
        backend_path(path, g, n == 0 ? NULL : "/event-channel");
        if (n == 0)
            return xids_xs_client_directory(c, 0, path, on_devices, g);
        return n == 1 && !g->fresh ? xids_xs_client_read(c, 0, path, on_port, g) : NO_MORE;
    }
    switch (n) {
    case 0:
        id.len = (uint32_t)snprintf(path, sizeof(path), "%u", g->domid) + 1u;
        return xids_xs_client_request(c, XS_IS_DOMAIN_INTRODUCED, 0, &id, 1, on_introduced, g);
    case 1:
        home_path(path, g, "/vm");
        return xids_xs_client_read(c, 0, path, on_vm, g);
    case 2:
        home_path(path, g, "/device/randomd/0/backend");
        return xids_xs_client_read(c, 0, path, on_pointer, g);
    case 3:
        backend_path(path, g, "/version");
        return g->fresh ? xids_xs_client_read(c, 0, path, on_version, g) : NO_MORE;
    default:
        return NO_MORE;
    }
}

static int say_device(struct guest *g, unsigned int n)
{
    char path[PATH_BYTES];
    home_path(path, g, "/device");
    return n == 0 ? xids_xs_client_get_perms(client_of(g->d), 0, path, on_device, g) : NO_MORE;
}

/* The channel's other numbers, where the directories are in place. The old port goes first. */
static int say_numbers(struct guest *g, unsigned int n)
{
    char path[PATH_BYTES];
    static const char *const leaves[] = {"/event-channel", "/ring-ref", "/version"};
    if (n >= (g->d->config.discover ? 3u : 2u))
        return NO_MORE;
    backend_path(path, g, leaves[n]);
    if (n == 0)
        return rm(g, path);
    return write_number(g, path, n == 1 ? xids_vchan_ring_ref(g->ch) : XIDS_RANDOMD_VERSION);
}

/* Everything but the port and the pointer. What an earlier guest of that number has left goes first. */
static int say_all(struct guest *g, unsigned int n)
{
    char path[PATH_BYTES];
    domid_t us = g->d->domid;
    if (n < 3) {
        backend_path(path, g, NULL);
        return n == 0 ? rm(g, path) : n == 1 ? make(g, path) : set_perms(g, path, us, true);
    }
    if (n < 5) {
        backend_path(path, g, n == 3 ? "/ring-ref" : "/version");
        return write_number(g, path, n == 3 ? xids_vchan_ring_ref(g->ch) : XIDS_RANDOMD_VERSION);
    }
    n -= g->made_device ? 5 : 3;
    home_path(path, g, n < 2 ? "/device" : n < 4 ? "/device/randomd" : "/device/randomd/0");
    if (n < 4)
        return n % 2 == 0 ? make(g, path) : set_perms(g, path, us, true);
    /* A guest that may write there could have made the pointer before us, and would own it. */
    if (n == 4)
        return rm(g, path);
    home_path(path, g, "/device/randomd/0/backend-id");
    return n == 5 ? write_number(g, path, us) : NO_MORE;
}

static int say_prepare(struct guest *g, unsigned int n)
{
    if (g->ch == NULL || g->gone)
        return NO_MORE;
    return g->laid || g->d->config.discover ? say_numbers(g, n) : say_all(g, n);
}

/* The port, and the pointer to it. */
static int say_open(struct guest *g, unsigned int n)
{
    char path[PATH_BYTES], target[PATH_BYTES];
    if (g->ch == NULL || g->gone || g->show || n > 1 || (n == 1 && (g->laid || g->d->config.discover)))
        return NO_MORE;
    if (n == 0) {
        backend_path(path, g, "/event-channel");
        g->open = true;
        return write_number(g, path, xids_vchan_port(g->ch));
    }
    backend_path(target, g, "");
    home_path(path, g, "/device/randomd/0/backend");
    return write_text(g, path, target);
}

static int say_hide(struct guest *g, unsigned int n)
{
    char path[PATH_BYTES];
    backend_path(path, g, "/event-channel");
    return n == 0 ? rm(g, path) : NO_MORE;
}

static int say_forget(struct guest *g, unsigned int n)
{
    static const char *const leaves[] = {"/event-channel", "/ring-ref", "/version"};
    char path[PATH_BYTES];
    if (g->d->config.discover) {
        /* The directory is the toolstack's. */
        if (n >= 3)
            return NO_MORE;
        backend_path(path, g, leaves[n]);
        return rm(g, path);
    }
    switch (n) {
    case 0: /* before what it points to: a run that is killed in between must not leave a pointer alone */
        home_path(path, g, "/device/randomd");
        return rm(g, path);
    case 1:
        backend_path(path, g, NULL);
        return rm(g, path);
    case 2:
        second_path(path, g, "");
        return g->second ? rm(g, path) : NO_MORE;
    default:
        return NO_MORE;
    }
}

static int say_sweep(struct guest *g, unsigned int n)
{
    char path[PATH_BYTES];
    home_path(path, g, "/device");
    return n == 0 ? xids_xs_client_directory(client_of(g->d), 0, path, on_left, g) : NO_MORE;
}

static int say_swept(struct guest *g, unsigned int n)
{
    char path[PATH_BYTES];
    home_path(path, g, "/device");
    return n == 0 && g->emptied ? rm(g, path) : NO_MORE;
}

/* The entropy domain's own: the folder in which it finds its guests. */
static int say_root(struct guest *g, unsigned int n)
{
    char path[PATH_BYTES];
    home_path(path, g, "/backend/randomd");
    return n == 0 ? make(g, path) : n == 1 ? set_perms(g, path, g->domid, false) : NO_MORE;
}

static int say_second(struct guest *g, unsigned int n)
{
    char path[PATH_BYTES], target[PATH_BYTES];
    domid_t server = (domid_t)g->d->config.entropy_domain;
    switch (n) {
    case 0:
    case 1:
        second_path(path, g, "");
        return n == 0 ? make(g, path) : set_perms(g, path, server, true);
    case 2:
        second_path(path, g, "/1/frontend-id");
        return write_number(g, path, g->domid);
    case 3:
        second_path(path, g, "/1/frontend");
        home_path(target, g, "/device/randomd/1");
        return write_text(g, path, target);
    case 4:
        home_path(path, g, "/device/randomd/1/backend-id");
        return write_number(g, path, server);
    case 5:
        home_path(path, g, "/device/randomd/1/backend");
        second_path(target, g, "/1");
        return write_text(g, path, target);
    default:
        return NO_MORE;
    }
}

static int say_unsecond(struct guest *g, unsigned int n)
{
    char path[PATH_BYTES];
    home_path(path, g, "/device/randomd/1");
    return n == 0 ? rm(g, path) : NO_MORE;
}

static int (*const say[])(struct guest *, unsigned int) = {
    [TALK_PROBE] = say_probe, [TALK_DEVICE] = say_device, [TALK_PREPARE] = say_prepare,   [TALK_OPEN] = say_open,
    [TALK_HIDE] = say_hide,   [TALK_FORGET] = say_forget, [TALK_SWEEP] = say_sweep,       [TALK_SWEPT] = say_swept,
    [TALK_ROOT] = say_root,   [TALK_SECOND] = say_second, [TALK_UNSECOND] = say_unsecond, [TALK_TOUCH] = say_open,
};

/* ---- what comes next ---- */

static bool entropy_domain_there(const struct daemon *d)
{
    const struct guest *s = d->config.entropy_domain != 0 ? d->by_domid[d->config.entropy_domain] : NULL;
    return s != NULL && s->rooted && !s->gone;
}

static enum talk next_talk(const struct guest *g)
{
    const struct daemon *d = g->d;
    if (g->gone)
        return !g->dirty ? TALK_NONE : g->swept == 0 ? TALK_FORGET : g->swept == 1 ? TALK_SWEEP : TALK_SWEPT;
    if (g->probe)
        return TALK_PROBE;
    if (g->retry)
        return TALK_NONE;
    if (g->hide)
        return TALK_HIDE;
    if (g->ch != NULL && g->show)
        return g->laid || g->looked || d->config.discover ? TALK_PREPARE : TALK_DEVICE;
    if (g->ch != NULL && g->prepared)
        return TALK_OPEN;
    if (g->ch != NULL && g->touch)
        return TALK_TOUCH;
    if (!g->laid || d->config.entropy_domain == 0 || d->config.discover)
        return TALK_NONE;
    if (g->domid == d->config.entropy_domain)
        return g->rooted ? TALK_NONE : TALK_ROOT;
    if (g->second != entropy_domain_there(d))
        return g->second ? TALK_UNSECOND : TALK_SECOND;
    return TALK_NONE;
}

static void begin(struct guest *g, enum talk talk)
{
    g->talk = (uint8_t)talk;
    g->asked = 0;
    g->all_asked = false;
    g->rc = 0;
    switch (talk) {
    case TALK_PREPARE:
        /* Who replaces the channel meanwhile sets it again. */
        g->show = g->prepared = g->touch = g->open = false;
        g->dirty = true;
        break;
    case TALK_HIDE:
        g->hide = g->open = false;
        break;
    case TALK_TOUCH:
        g->touch = false;
        break;
    case TALK_SECOND:
        g->second = g->dirty = true;
        break;
    case TALK_NONE:
    case TALK_PROBE:
    case TALK_DEVICE:
    case TALK_OPEN:
    case TALK_FORGET:
    case TALK_SWEEP:
    case TALK_SWEPT:
    case TALK_ROOT:
    case TALK_UNSECOND:
        break;
    }
}

/* A talk that was refused: what it was for is still to be done. */
static void failed(struct guest *g, enum talk talk, int rc)
{
    g->show |= talk == TALK_DEVICE || talk == TALK_PREPARE || talk == TALK_OPEN || talk == TALK_TOUCH;
    g->hide |= talk == TALK_HIDE;
    if (talk == TALK_PREPARE || talk == TALK_OPEN)
        g->prepared = g->laid = g->looked = false;
    if (talk == TALK_SECOND)
        g->second = false; /* its nodes are removed with the guest's pointers, or written again */
    /* Without a connection everything is done again when there is one. */
    if (rc != -XEN_ENOTCONN && rc != -XEN_ETIMEDOUT && rc != -XEN_EBADMSG)
        guest_refused(g->d, g, rc);
}

static void done(struct guest *g, enum talk talk)
{
    struct daemon *d = g->d;
    switch (talk) {
    case TALK_DEVICE:
        g->looked = true;
        break;
    case TALK_PREPARE:
        g->prepared = g->ch != NULL && !g->show;
        break;
    case TALK_OPEN:
        g->prepared = false;
        if (!g->open)
            break;
        g->laid = true;
        g->unsure = false;
        guest_published(d, g);
        break;
    case TALK_FORGET:
        g->open = g->laid = false;
        g->swept = 1;
        g->dirty = g->made_device;
        break;
    case TALK_SWEEP:
        g->swept = 2;
        break;
    case TALK_SWEPT:
        g->dirty = false;
        break;
    case TALK_ROOT:
        g->rooted = true;
        for (struct guest *other = d->guests; other != NULL; other = other->next)
            publish_queue(other);
        break;
    case TALK_UNSECOND:
        g->second = false;
        break;
    case TALK_NONE:
    case TALK_PROBE:
    case TALK_HIDE:
    case TALK_TOUCH:
    case TALK_SECOND:
        break;
    }
}

/* The talk has its answers. */
static void ended(struct guest *g)
{
    enum talk talk = (enum talk)g->talk;
    int rc = g->rc;
    g->talk = TALK_NONE;
    if (talk == TALK_PROBE) {
        g->probe = false;
        guest_probed(g->d, g, rc);
        return;
    }
    if (rc == 0)
        done(g, talk);
    else if (!g->gone)
        failed(g, talk, rc);
    else if (!g->d->store_lost)
        g->dirty = false; /* the store will not have it otherwise */
}

/* Sends what can be sent for the guest. False: the connection has no room for more. */
static bool go_on(struct guest *g)
{
    for (;;) {
        if (g->talk == TALK_NONE) {
            enum talk talk = next_talk(g);
            if (talk == TALK_NONE) {
                if (g->gone)
                    guest_forgotten(g->d, g);
                return true;
            }
            begin(g, talk);
        }
        while (!g->all_asked) {
            int rc = say[g->talk](g, g->asked);
            if (rc == -XEN_EBUSY)
                return false;
            if (rc == SENT) {
                g->asked++;
                g->pending++;
                continue;
            }
            g->all_asked = true;
            if (rc < 0 && g->rc == 0)
                g->rc = (int16_t)rc;
        }
        if (g->pending > 0)
            return true;
        ended(g);
    }
}

bool publish_turn(struct daemon *d)
{
    while (d->talkers != NULL && !d->store_lost) {
        struct guest *g = unqueue(d);
        if (go_on(g))
            continue;
        /* To the front again, if it is not in the queue already for something that was new on the way. */
        if (g->queued)
            return false;
        g->queued = true;
        g->next_queued = d->talkers;
        d->talkers = g;
        if (g->next_queued == NULL)
            d->talkers_end = &g->next_queued;
        return false;
    }
    return true;
}

void publish_forget(struct guest *g)
{
    struct guest **at = &g->d->talkers;
    /* When all go at once, the queue is as long as they are many. */
    if (!g->queued)
        return;
    while (*at != g)
        at = &(*at)->next_queued;
    *at = g->next_queued;
    if (*at == NULL)
        g->d->talkers_end = at;
    g->queued = false;
}
