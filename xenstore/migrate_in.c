/* SPDX-License-Identifier: ISC */
/* The state stream's bytes on their way in: its records one after the other, each read within its own bounds. */
#include "xenstore/state.h"

int xids_xs_state_bad(struct state_in *in, const char *reason)
{
    if (in->error->reason == NULL)
        in->error->reason = reason;
    return -XEN_EBADMSG;
}

int xids_xs_state_grow(struct xids_xs_server *s, void **v, uint32_t *cap, uint32_t n, size_t item)
{
    if (n < *cap)
        return 0;
    uint32_t more = *cap == 0 ? 64 : *cap * 2;
    void *bigger = more > *cap ? xids_xs_get(s, more * item) : NULL;
    if (bigger == NULL)
        return -XEN_ENOMEM;
    if (n > 0)
        __builtin_memcpy(bigger, *v, n * item);
    xids_xs_put(s, *v, *cap * item);
    *v = bigger;
    *cap = more;
    return 0;
}

static bool parse_perm(struct xids_xs_perm *perm, struct state_body *b)
{
    static const char letters[] = "nrwb";
    const uint8_t *at = take_bytes(b, 2);
    uint32_t domid = take16(b);
    unsigned int access = 0;
    while (!b->broken && access < 4 && letters[access] != (char)at[0])
        access++;
    if (b->broken || access == 4)
        return false;
    *perm = (struct xids_xs_perm){
        .domid = (uint16_t)domid,
        .access = (uint8_t)(access | ((at[1] & STATE_PERM_IGNORED) != 0 ? XIDS_STORE_IGNORED : 0u))};
    return true;
}

int xids_xs_state_take_perms(struct state_in *in, struct perms **perms, struct state_body *b, uint32_t count)
{
    struct xids_xs_perm *e = in->s->perms;
    const uint8_t *bytes = b->at;
    size_t len = 4 * (size_t)count;
    if (count == 0 || count > sizeof(in->s->perms) / sizeof(*e) || len > b->left)
        return xids_xs_state_bad(in, "permissions that cannot be");
    /* Most lists are the same as the one before. */
    if (in->perms != NULL && in->perms_len == len && __builtin_memcmp(in->perms_bytes, bytes, len) == 0) {
        (void)take_bytes(b, len);
        in->perms->refs++;
        *perms = in->perms;
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!parse_perm(&e[i], b))
            return xids_xs_state_bad(in, "permissions that cannot be");
    }
    if ((e[0].access & XIDS_STORE_IGNORED) != 0)
        return xids_xs_state_bad(in, "an owner that is ignored");
    struct perms *list = xids_store_perms_get(in->s->store, e, count);
    if (list == NULL)
        return -XEN_ENOMEM;
    xids_store_perms_unref(in->s->store, in->perms);
    in->perms = list;
    in->perms_bytes = bytes;
    in->perms_len = len;
    list->refs++;
    *perms = list;
    return 0;
}

/* ---- the whole ---- */

static int load_global(struct state_in *in, struct state_body *b)
{
    in->global.socket_fd = (int32_t)take32(b);
    /* Version 1 had another socket there in its first draft, which nobody wrote. */
    in->global.evtchn_fd = (int32_t)take32(b);
    return b->broken ? xids_xs_state_bad(in, "the descriptors are cut short") : 0;
}

static int load_note(struct state_in *in, struct state_body *b)
{
    uint32_t len = take32(b);
    const uint8_t *note = take_bytes(b, len);
    if (b->broken || len > XIDS_XS_STATE_NOTE_MAX)
        return xids_xs_state_bad(in, "the host's note is cut short");
    in->global.note = note;
    in->global.note_len = len;
    return 0;
}

static int load_server(struct state_in *in, struct state_body *b)
{
    struct xids_xs_server *s = in->s;
    s->store->version = take64(b);
    in->newest = take64(b);
    s->stats.requests = take64(b);
    s->stats.events = take64(b);
    s->stats.commits = take64(b);
    s->stats.conflicts = take64(b);
    if (b->broken || (in->seen_server && !in->journal) || in->newest >= UINT64_MAX / 2)
        return xids_xs_state_bad(in, "the counters cannot be");
    in->seen_server = true;
    return 0;
}

int xids_xs_state_load_record(struct state_in *in, uint32_t type, struct state_body *b)
{
    switch (type) {
    case STATE_GLOBAL:
        return load_global(in, b);
    case STATE_CONN:
        return xids_xs_state_load_conn(in, b);
    case STATE_WATCH:
        return xids_xs_state_load_watch(in, b);
    case STATE_TX:
        return xids_xs_state_load_tx(in, b);
    case STATE_NODE:
        return xids_xs_state_load_node(in, b);
    case STATE_QUOTA:
        return xids_xs_state_load_quota(in, b);
    case STATE_DOMAIN:
        return xids_xs_state_load_domain(in, b, true);
    case STATE_OUR_DOMAIN:
        return xids_xs_state_load_domain(in, b, false);
    case STATE_OUR_HELD:
        return xids_xs_state_load_held(in, b);
    case STATE_WATCH_EXT:
        return xids_xs_state_load_watch_ext(in, b);
    case STATE_OUR_SERVER:
        return load_server(in, b);
    case STATE_OUR_NOTE:
        return load_note(in, b);
    case STATE_OUR_CONN:
        return xids_xs_state_load_our_conn(in, b);
    case STATE_OUR_INPUT:
        return xids_xs_state_load_input(in, b);
    case STATE_OUR_PENDING:
        return xids_xs_state_load_pending(in, b);
    case STATE_OUR_OVERFLOW:
        return xids_xs_state_load_overflow(in, b);
    case STATE_OUR_AGE:
        return xids_xs_state_load_age(in, b);
    case STATE_OUR_AWAITED:
        return xids_xs_state_load_awaited(in, b);
    case STATE_OUR_FORGOTTEN:
        return xids_xs_state_load_forgotten(in, b);
    case STATE_OUR_TX:
        return xids_xs_state_load_our_tx(in, b);
    case STATE_OUR_TX_PUT:
        return xids_xs_state_load_put(in, b);
    case STATE_OUR_TX_GONE:
        return xids_xs_state_load_gone(in, b);
    case STATE_OUR_TX_PATH:
        return xids_xs_state_load_tx_path(in, b);
    case STATE_OUR_TX_OP:
        return xids_xs_state_load_tx_op(in, b);
    default:
        /* To go on without knowing what it says would be to lose it. */
        return xids_xs_state_bad(in, "a record of an unknown kind");
    }
}

static int load_preamble(struct state_in *in, struct state_body *b)
{
    static const char ident[8] = "xenstore";
    const uint8_t *at = take_bytes(b, sizeof(ident));
    const uint8_t *version = take_bytes(b, 4), *flags = take_bytes(b, 4);
    const uint16_t one = 1;
    if (b->broken || __builtin_memcmp(at, ident, sizeof(ident)) != 0)
        return xids_xs_state_bad(in, "not a stream of xenstore's state");
    in->version =
        (uint32_t)version[0] << 24 | (uint32_t)version[1] << 16 | (uint32_t)version[2] << 8 | (uint32_t)version[3];
    if (in->version == 0 || in->version > STATE_VERSION)
        return xids_xs_state_bad(in, "of an unknown version");
    /* Bit 0, the only one there is, says that it was written by a big-endian machine. C xenstored writes it as its own
     * machine does, the specification says big-endian. */
    bool big = flags[0] != 0 || flags[3] != 0, here_big = *(const uint8_t *)&one == 0;
    if (flags[1] != 0 || flags[2] != 0 || big != here_big)
        return xids_xs_state_bad(in, "of a machine with another order of bytes");
    return 0;
}

/*
 * C xenstored 4.20 and later say of a watch with a depth that it is longer than what they write, so that a record may
 * seem to reach 8 bytes into the next one.
 */
static bool overstated(const struct state_body *b, uint32_t type, uint32_t len)
{
    struct state_body at = *b;
    (void)take32(&at);
    uint32_t path_len = take16(&at), token_len = take16(&at);
    size_t written = state_padded(8 + (size_t)path_len + token_len);
    const uint8_t *path = at.at;
    if (type != STATE_WATCH_EXT || at.broken || len != written + 8 || written - 8 > at.left || path_len < 2 ||
        token_len < 1 || path[path_len - 1] != '\0' || path[path_len + token_len - 1] != '\0')
        return false;
    return xids_xswire_path_check((const char *)path, path_len - 1) > 0;
}

static int load_all(struct state_in *in, const uint8_t *bytes, size_t len)
{
    struct state_body all = {.at = bytes, .left = len};
    int rc = load_preamble(in, &all);
    while (rc == 0) {
        in->error->record++;
        in->error->offset = len - all.left;
        uint32_t type = take32(&all), n = take32(&all);
        if (!all.broken && type == STATE_END)
            return n == 0 ? 0 : xids_xs_state_bad(in, "the end is not empty");
        if (!all.broken && overstated(&all, type, n))
            n -= 8;
        struct state_body body = {.left = n, .at = take_bytes(&all, n)};
        if (all.broken)
            rc = xids_xs_state_bad(in, "the stream ends within a record");
        else if (n % 8 != 0)
            rc = xids_xs_state_bad(in, "a record's length is odd");
        else
            rc = xids_xs_state_load_record(in, type, &body);
    }
    return rc;
}

void xids_xs_state_in_free(struct state_in *in)
{
    struct xids_xs_server *s = in->s;
    xids_store_perms_unref(s->store, in->perms);
    xids_store_node_unref(s->store, in->reference);
    xids_xs_put(s, in->conns, in->cap_conns * sizeof(*in->conns));
    xids_xs_put(s, in->watches, in->cap_watches * sizeof(struct watch *));
    xids_xs_put(s, in->entries, in->cap_entries * sizeof(struct entry *));
    xids_xs_put(s, in->levels, (PATH_DEPTH_MAX + 1) * sizeof(*in->levels));
    xids_xs_put(s, in, sizeof(*in));
}

int xids_xs_state_in_new(struct state_in **new_in, struct xids_xs_server *s, struct xids_xs_state_error *error,
                         const struct xids_xs_restore *restore)
{
    *error = (struct xids_xs_state_error){0};
    if (s->sockets != NULL || s->rings != NULL || s->store->nodes == 0)
        return -XEN_EINVAL;
    struct state_in *in = xids_xs_get(s, sizeof(*in));
    if (in == NULL)
        return -XEN_ENOMEM;
    __builtin_memset(in, 0, sizeof(*in));
    in->s = s;
    in->restore = restore;
    in->error = error;
    in->global.socket_fd = in->global.evtchn_fd = -1;
    int rc = xids_xs_state_nodes_begin(in);
    if (rc < 0)
        xids_xs_state_in_free(in);
    else
        *new_in = in;
    return rc;
}

int xids_xs_server_restore(struct xids_xs_server *s, struct xids_xs_state_error *error,
                           const struct xids_xs_restore *restore, const void *bytes, size_t len)
{
    struct state_in *in;
    int rc = xids_xs_state_in_new(&in, s, error, restore);
    if (rc < 0)
        return rc;
    rc = load_all(in, bytes, len);
    if (rc == 0)
        rc = xids_xs_state_nodes_end(in);
    if (rc == 0)
        xids_xs_state_tx_charge(in);
    /* What was counted while nodes were made is not what they were made as. */
    if (in->seen_server)
        s->store->generation = in->newest;
    if (rc == 0)
        rc = xids_xs_state_bring_up(in);
    xids_xs_state_in_free(in);
    return rc;
}
