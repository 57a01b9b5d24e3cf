/* SPDX-License-Identifier: ISC */
/* The nodes of docs/spec/randomd-legacy.md, section 2, over a connection of their own. Nothing here waits. */
#include "randomd/legacy_guests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 96u
#define PERMS_BYTES (2u * XIDS_XS_PERM_BYTES)

static struct xids_xs_client *client_of(const struct legacy_guest *g)
{
    return xids_xs_client(g->of->xs);
}

static void backend_path(char path[PATH_BYTES], const struct legacy_guest *g, uint32_t device, const char *leaf)
{
    snprintf(path, PATH_BYTES, "/local/domain/%u/backend/xentropyd/%u/%" PRIu32 "%s", g->of->d->domid, g->domid, device,
             leaf);
}

/* The backend's folder for the guest, which holds the one device. */
static void guest_path(char path[PATH_BYTES], const struct legacy_guest *g)
{
    snprintf(path, PATH_BYTES, "/local/domain/%u/backend/xentropyd/%u", g->of->d->domid, g->domid);
}

static void consoles_path(char path[PATH_BYTES], const struct legacy_guest *g)
{
    snprintf(path, PATH_BYTES, "/local/domain/%u/device/console", g->domid);
}

static void frontend_path(char path[PATH_BYTES], const struct legacy_guest *g, uint32_t device, const char *leaf)
{
    snprintf(path, PATH_BYTES, "/local/domain/%u/device/console/%" PRIu32 "%s", g->domid, device, leaf);
}

/* ---- a transaction ---- */

static void fail(struct legacy_setup *s, int rc)
{
    if (s->rc == 0)
        s->rc = rc;
}

/* The end of the body, when all its requests are answered. */
static void commit(struct legacy_setup *s)
{
    if (s->rc == 0)
        xids_xs_tx_commit(s->tx);
    else
        xids_xs_tx_abort(s->tx, s->rc);
}

static void on_written(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct legacy_setup *s = ctx;
    (void)payload;
    (void)len;
    if (rc < 0)
        fail(s, rc);
    if (--s->pending == 0)
        commit(s);
}

static void sent(struct legacy_setup *s, int rc)
{
    if (rc < 0)
        fail(s, rc);
    else
        s->pending++;
}

static void put(struct legacy_setup *s, const char *path, const char *value)
{
    sent(s, xids_xs_client_write(client_of(s->g), xids_xs_tx_id(s->tx), path, value, (uint32_t)strlen(value),
                                 on_written, s));
}

static void allow(struct legacy_setup *s, const char *path, domid_t owner, domid_t reader)
{
    char perms[PERMS_BYTES];
    const struct xids_xs_perm first = {owner, XIDS_XS_NONE}, second = {reader, XIDS_XS_READ};
    size_t len = xids_xswire_perm_format(perms, &first) + 1;
    len += xids_xswire_perm_format(perms + len, &second) + 1;
    sent(s, xids_xs_client_set_perms(client_of(s->g), xids_xs_tx_id(s->tx), path, perms, (uint32_t)len, on_written, s));
}

/* New nodes take the permissions of the one above. */
static void create_backend(struct legacy_setup *s)
{
    char path[PATH_BYTES], value[PATH_BYTES];
    const struct legacy_guest *g = s->g;
    backend_path(path, g, s->device, "");
    put(s, path, "");
    allow(s, path, g->of->d->domid, g->domid);
    backend_path(path, g, s->device, "/frontend");
    frontend_path(value, g, s->device, "");
    put(s, path, value);
    backend_path(path, g, s->device, "/frontend-id");
    snprintf(value, sizeof(value), "%u", g->domid);
    put(s, path, value);
    backend_path(path, g, s->device, "/online");
    put(s, path, "1");
    backend_path(path, g, s->device, "/state");
    put(s, path, "1");
    backend_path(path, g, s->device, "/protocol");
    put(s, path, "vt100");
}

static void create_frontend(struct legacy_setup *s)
{
    static const struct {
        const char *leaf, *value;
        bool ours;
    } fixed[] = {
        {"/state", "1", false},      {"/protocol", "vt100", false}, {"/name", XIDS_RANDOMD_LEGACY_NAME, false},
        {"/limit", "1048576", true}, {"/output", "pty", true},      {"/tty", "", true},
    };
    char path[PATH_BYTES], value[PATH_BYTES];
    const struct legacy_guest *g = s->g;
    frontend_path(path, g, s->device, "");
    put(s, path, "");
    allow(s, path, g->domid, g->of->d->domid);
    frontend_path(path, g, s->device, "/backend");
    backend_path(value, g, s->device, "");
    put(s, path, value);
    frontend_path(path, g, s->device, "/backend-id");
    snprintf(value, sizeof(value), "%u", g->of->d->domid);
    put(s, path, value);
    for (unsigned int i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        frontend_path(path, g, s->device, fixed[i].leaf);
        put(s, path, fixed[i].value);
        if (fixed[i].ours)
            allow(s, path, g->of->d->domid, g->domid);
    }
}

static void create(struct legacy_setup *s)
{
    s->backend_state = 1;
    create_backend(s);
    create_frontend(s);
    if (s->pending == 0)
        commit(s);
}

static void on_backend_state(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct legacy_setup *s = ctx;
    char path[PATH_BYTES];
    s->pending--;
    if (rc == 0) {
        /* It goes on as it is: the guest can be in the middle of its stream. */
        if (xids_xswire_decimal(&s->backend_state, payload, len, 6) < 0)
            s->backend_state = 0;
        s->adopted = true;
        commit(s);
    } else if (rc == -XEN_ENOENT) {
        frontend_path(path, s->g, s->device, "");
        sent(s, xids_xs_client_rm(client_of(s->g), xids_xs_tx_id(s->tx), path, on_written, s));
        create(s);
    } else {
        fail(s, rc);
        commit(s);
    }
}

/* All names are known. */
static void choose(struct legacy_setup *s)
{
    char path[PATH_BYTES];
    for (unsigned int i = 0; i < s->count && s->device == 0; i++)
        if (s->probes[i].ours)
            s->device = s->probes[i].id;
    if (s->rc == 0 && s->device == 0 && s->highest >= LEGACY_HIGHEST)
        fail(s, -XEN_ENOSPC);
    if (s->rc < 0) {
        commit(s);
        return;
    }
    if (s->device == 0) {
        s->device = s->highest + 1;
        create(s);
        return;
    }
    backend_path(path, s->g, s->device, "/state");
    sent(s, xids_xs_client_read(client_of(s->g), xids_xs_tx_id(s->tx), path, on_backend_state, s));
    if (s->pending == 0)
        commit(s);
}

static void on_name(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct legacy_probe *p = ctx;
    struct legacy_setup *s = p->setup;
    const size_t want = strlen(XIDS_RANDOMD_LEGACY_NAME);
    p->ours = rc == 0 && len == want && memcmp(payload, XIDS_RANDOMD_LEGACY_NAME, want) == 0;
    if (rc < 0 && rc != -XEN_ENOENT && rc != -XEN_EACCES)
        fail(s, rc);
    if (--s->pending == 0)
        choose(s);
}

/* The children of the console folder: a name and a NUL each. */
static void take_consoles(struct legacy_setup *s, const char *names, uint32_t len)
{
    uint32_t id;
    for (uint32_t at = 0; at < len;) {
        size_t n = strnlen(names + at, len - at);
        if (xids_xswire_decimal(&id, names + at, n, LEGACY_HIGHEST) < 0) {
            /* A number that no device of ours can follow is not one to be passed over. */
            if (n > 0 && strspn(names + at, "0123456789") == n)
                fail(s, -XEN_ENOSPC);
        } else {
            if (id > s->highest)
                s->highest = id;
            if (s->count == LEGACY_CONSOLES)
                fail(s, -XEN_ENOSPC);
            else if (id != 0)
                s->probes[s->count++] = (struct legacy_probe){.setup = s, .id = id};
        }
        at += (uint32_t)n + 1;
    }
}

static void on_consoles(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct legacy_setup *s = ctx;
    char path[PATH_BYTES];
    s->pending--;
    if (rc == 0)
        take_consoles(s, payload, len);
    else if (rc != -XEN_ENOENT)
        fail(s, rc);
    for (unsigned int i = 0; i < s->count && s->rc == 0; i++) {
        frontend_path(path, s->g, s->probes[i].id, "/name");
        sent(s, xids_xs_client_read(client_of(s->g), xids_xs_tx_id(s->tx), path, on_name, &s->probes[i]));
    }
    if (s->pending == 0)
        choose(s);
}

static void setup_body(void *ctx, struct xids_xs_tx *tx)
{
    struct legacy_setup *s = ctx;
    char path[PATH_BYTES];
    /* It can be the second run. */
    *s = (struct legacy_setup){.g = s->g, .tx = tx};
    if (s->g->stale || !s->g->wanted || s->g->of->stopping) {
        xids_xs_tx_abort(tx, -XEN_EINTR);
        return;
    }
    consoles_path(path, s->g);
    sent(s, xids_xs_client_directory(client_of(s->g), xids_xs_tx_id(tx), path, on_consoles, s));
    if (s->pending == 0)
        commit(s);
}

static void setup_done(void *ctx, int rc)
{
    struct legacy_setup *s = ctx;
    struct legacy_guest *g = s->g;
    struct legacy *l = g->of;
    g->setting_up = false;
    /* Whatever became of a commit whose answer did not come: this is what would have to be removed. */
    if (s->device != 0)
        g->device = s->device;
    if (rc == 0) {
        g->offered = true;
        g->backend_state = s->backend_state;
        l->count.adopted += s->adopted;
        l->count.offers += !s->adopted;
    } else if (rc == -XEN_EAGAIN || rc == -XEN_EBUSY) {
        legacy_wait(g);
    } else if (rc != -XEN_EINTR && rc != -XEN_ENOTCONN) {
        g->given_up = true;
        l->count.failures++;
        log_guest(SAY_WARN, "domain %u: no console for entropy: %s", g->domid, strerror(-rc));
    }
    s->g = NULL;
    legacy_step(g);
    legacy_setups(l);
}

void legacy_setups(struct legacy *l)
{
    for (unsigned int i = 0; i < LEGACY_SETUPS && l->setups != NULL && !l->stopping; i++) {
        struct legacy_setup *s = &l->running[i];
        if (s->g != NULL)
            continue;
        *s = (struct legacy_setup){.g = l->setups};
        if (xids_xs_client_transaction(xids_xs_client(l->xs), LEGACY_TRIES, setup_body, setup_done, s) < 0) {
            s->g = NULL;
            return; /* the connection is gone; there will be another */
        }
        l->setups = s->g->next_setup;
        if (l->setups == NULL)
            l->setups_end = &l->setups;
    }
}

void legacy_setup(struct legacy_guest *g)
{
    struct legacy *l = g->of;
    if (g->setting_up)
        return;
    g->setting_up = true;
    g->next_setup = NULL;
    *l->setups_end = g;
    l->setups_end = &g->next_setup;
    legacy_setups(l);
}

void legacy_setup_forget(struct legacy_guest *g)
{
    struct legacy_guest **at = &g->of->setups;
    while (*at != NULL && *at != g)
        at = &(*at)->next_setup;
    if (*at == NULL)
        return; /* its transaction runs */
    *at = g->next_setup;
    if (*at == NULL)
        g->of->setups_end = at;
    g->setting_up = false;
}

/* ---- the frontend ---- */

static void answered(struct legacy_guest *g)
{
    if (--g->pending == 0)
        legacy_step(g);
}

static void take_number(struct legacy_guest *g, uint32_t *to, int rc, const void *payload, uint32_t len)
{
    if (rc < 0 || xids_xswire_decimal(to, payload, len, UINT32_MAX) < 0)
        g->unreadable = true;
}

static void on_state(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct legacy_guest *g = ctx;
    if (rc == -XEN_ENOENT)
        g->state = 0;
    else
        take_number(g, &g->state, rc, payload, len);
    answered(g);
}

static void on_ring_ref(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct legacy_guest *g = ctx;
    if (rc < 0 || xids_xswire_decimal(&g->ring_ref, payload, len, UINT32_MAX) < 0)
        g->peer_port = 0;
    answered(g);
}

static void on_port(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct legacy_guest *g = ctx;
    if (rc < 0 || xids_xswire_decimal(&g->peer_port, payload, len, UINT32_MAX) < 0)
        g->peer_port = 0;
    answered(g);
}

static void ask(struct legacy_guest *g, const char *leaf, xids_xs_reply_fn *fn)
{
    char path[PATH_BYTES];
    frontend_path(path, g, g->device, leaf);
    if (xids_xs_client_read(client_of(g), 0, path, fn, g) == 0)
        g->pending++;
    else
        g->fired = true; /* to be read again */
}

void legacy_read(struct legacy_guest *g)
{
    g->unreadable = false;
    /* The guest writes its state last, so that what is read after it belongs to it. */
    ask(g, "/state", on_state);
    ask(g, "/port", on_port);
    ask(g, "/ring-ref", on_ring_ref);
}

static void on_answer(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)rc;
    (void)payload;
    (void)len;
    answered(ctx);
}

void legacy_write_state(struct legacy_guest *g, uint32_t state)
{
    char path[PATH_BYTES], value[2] = {(char)('0' + state), '\0'};
    if (g->backend_state == state)
        return;
    backend_path(path, g, g->device, "/state");
    if (xids_xs_client_write(client_of(g), 0, path, value, 1, on_answer, g) == 0) {
        g->pending++;
        g->backend_state = state;
    }
}

/* ---- the end of a device ---- */

/* Whether what a frontend says is that it is ours. */
static bool is_ours(const struct legacy_guest *g, const char *value, size_t len)
{
    char backend[PATH_BYTES];
    backend_path(backend, g, g->device, "");
    return len == strlen(backend) && memcmp(value, backend, len) == 0;
}

static void on_frontend_backend(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct legacy_guest *g = ctx;
    char path[PATH_BYTES];
    frontend_path(path, g, g->device, "");
    /* By now it can be another domain's, which has a console of that number. */
    if (rc == 0 && is_ours(g, payload, len) && xids_xs_client_rm(client_of(g), 0, path, on_answer, g) == 0)
        g->pending++;
    answered(g);
}

bool legacy_remove(struct legacy_guest *g)
{
    char path[PATH_BYTES];
    guest_path(path, g);
    if (xids_xs_client_rm(client_of(g), 0, path, on_answer, g) < 0)
        return false;
    g->pending++;
    g->backend_state = 0;
    frontend_path(path, g, g->device, "/backend");
    if (xids_xs_client_read(client_of(g), 0, path, on_frontend_backend, g) < 0)
        return false;
    g->pending++;
    return true;
}

static int rm(struct xids_xs *xs, const char *path)
{
    int rc = xids_xs_rm(xs, XIDS_XS_NO_TX, path);
    return rc == -XEN_ENOENT ? 0 : rc;
}

static int rm_if_empty(struct xids_xs *xs, const char *path)
{
    char **names = NULL;
    unsigned int count = 0;
    int rc = xids_xs_directory(xs, &names, &count, XIDS_XS_NO_TX, path);
    free(names);
    return rc == 0 && count == 0 ? rm(xs, path) : rc == -XEN_ENOENT ? 0 : rc;
}

static int remove_frontend(const struct legacy_guest *g, struct xids_xs *xs)
{
    char path[PATH_BYTES], *value = NULL;
    size_t len = 0;
    frontend_path(path, g, g->device, "/backend");
    int rc = xids_xs_read(xs, &value, &len, XIDS_XS_NO_TX, path);
    if (rc < 0)
        return rc == -XEN_ENOENT ? 0 : rc;
    bool ours = is_ours(g, value, len);
    free(value);
    if (!ours)
        return 0;
    frontend_path(path, g, g->device, "");
    rc = rm(xs, path);
    consoles_path(path, g);
    return rc < 0 ? rc : rm_if_empty(xs, path);
}

int legacy_remove_now(const struct legacy_guest *g, struct xids_xs *xs)
{
    char path[PATH_BYTES];
    int rc = 0;
    backend_path(path, g, g->device, "/state");
    if (g->offered && !g->given_up)
        rc = xids_xs_write(xs, XIDS_XS_NO_TX, path, "5", 1);
    guest_path(path, g);
    if (rc >= 0)
        rc = rm(xs, path);
    return rc < 0 ? rc : remove_frontend(g, xs);
}

int legacy_remove_left(struct legacy *l)
{
    char path[PATH_BYTES], **names = NULL;
    unsigned int count = 0;
    uint32_t domid;
    snprintf(path, sizeof(path), "/local/domain/%u/backend/xentropyd", l->d->domid);
    int rc = xids_xs_directory(l->xs, &names, &count, XIDS_XS_NO_TX, path);
    if (rc == -XEN_ENOENT)
        rc = 0;
    for (unsigned int i = 0; i < count && rc >= 0; i++) {
        if (xids_xswire_decimal(&domid, names[i], strlen(names[i]), DOMID_FIRST_RESERVED - 1) < 0)
            continue;
        rc = xids_xs_is_introduced(l->xs, (domid_t)domid);
        if (rc != 0)
            continue;
        snprintf(path, sizeof(path), "/local/domain/%u/backend/xentropyd/%" PRIu32, l->d->domid, domid);
        rc = rm(l->xs, path);
    }
    free(names);
    return rc < 0 ? rc : 0;
}

int legacy_remove_folder(const struct legacy *l, struct xids_xs *xs)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "/local/domain/%u/backend/xentropyd", l->d->domid);
    return rm_if_empty(xs, path);
}
