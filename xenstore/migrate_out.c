/* SPDX-License-Identifier: ISC */
/* The state stream's bytes on their way out: gathered in one buffer, records with their padding. */
#include "xenstore/state.h"

void xids_xs_state_flush(struct state_out *o)
{
    if (o->error == 0 && o->used > 0)
        o->error = o->save->write(o->save->ctx, o->buffer, o->used);
    o->used = 0;
}

uint8_t *xids_xs_state_room(struct state_out *o, size_t n)
{
    if (STATE_BUFFER - o->used < n)
        xids_xs_state_flush(o);
    if (o->error < 0)
        return NULL;
    uint8_t *at = o->buffer + o->used;
    o->used += n;
    return at;
}

void xids_xs_state_bytes(struct state_out *o, const void *bytes, size_t n)
{
    const uint8_t *from = bytes;
    while (n > 0 && o->error == 0) {
        size_t piece = n < STATE_BUFFER ? n : STATE_BUFFER;
        uint8_t *at = xids_xs_state_room(o, piece);
        if (at != NULL)
            __builtin_memcpy(at, from, piece);
        from += piece;
        n -= piece;
    }
}

uint8_t *xids_xs_state_record(struct state_out *o, uint32_t type, size_t body)
{
    size_t padded = state_padded(body);
    bool whole = padded <= STATE_BUFFER - STATE_HEADER;
    uint8_t *at = xids_xs_state_room(o, STATE_HEADER + (whole ? padded : 0));
    if (at == NULL)
        return NULL;
    at = put32(put32(at, type), (uint32_t)padded);
    if (whole)
        __builtin_memset(at + body, 0, padded - body);
    return at;
}

void xids_xs_state_pad(struct state_out *o, size_t body)
{
    static const uint8_t zeros[8];
    xids_xs_state_bytes(o, zeros, state_padded(body) - body);
}

uint8_t *xids_xs_state_put_perms(uint8_t *at, const struct perms *perms)
{
    static const char letters[] = "nrwb";
    for (uint32_t i = 0; i < perms->count; i++) {
        const struct xids_xs_perm *e = &perms->e[i];
        *at++ = (uint8_t)letters[e->access & XIDS_XS_BOTH];
        *at++ = (e->access & XIDS_STORE_IGNORED) != 0 ? STATE_PERM_IGNORED : 0;
        at = put16(at, e->domid);
    }
    return at;
}
