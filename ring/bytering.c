/* SPDX-License-Identifier: ISC */
/* Byte rings: one direction, one side. Indices run freely modulo 2^32; the byte of index i lies at i & (size - 1). */
#include <xids/bytering.h>

#include <xen/io/console.h>
#include <xen/io/xs_wire.h>

#define AT(page, type, field) ((uint8_t XIDS_PEER *)(page) + offsetof(struct type, field))
#define WORD_AT(page, type, field) ((uint32_t XIDS_PEER *)(void XIDS_PEER *)AT(page, type, field))
#define LAYOUT(page, type, buf, in, out)                                       \
    ((struct xids_bytering_layout){.buffer = AT(page, type, buf),              \
                                   .size = sizeof(((struct type *)NULL)->buf), \
                                   .prod = WORD_AT(page, type, in),            \
                                   .cons = WORD_AT(page, type, out)})

struct xids_bytering_layout xids_bytering_xenstore_requests(void XIDS_PEER *page)
{
    return LAYOUT(page, xenstore_domain_interface, req, req_prod, req_cons);
}

struct xids_bytering_layout xids_bytering_xenstore_replies(void XIDS_PEER *page)
{
    return LAYOUT(page, xenstore_domain_interface, rsp, rsp_prod, rsp_cons);
}

struct xids_bytering_layout xids_bytering_console_output(void XIDS_PEER *page)
{
    return LAYOUT(page, xencons_interface, out, out_prod, out_cons);
}

struct xids_bytering_layout xids_bytering_console_input(void XIDS_PEER *page)
{
    return LAYOUT(page, xencons_interface, in, in_prod, in_cons);
}

int xids_bytering_attach(struct xids_bytering *r, const struct xids_bytering_layout *at, bool writer)
{
    if (at->size == 0 || at->size > (1u << 30) || (at->size & (at->size - 1u)) != 0)
        return -XEN_EINVAL;
    uint32_t prod = xids_peer_load_acquire(at->prod);
    uint32_t cons = xids_peer_load_acquire(at->cons);
    *r = (struct xids_bytering){.at = *at, .writer = writer};
    r->own = r->published = writer ? prod : cons;
    r->peer = writer ? cons : prod;
    if (prod - cons > at->size)
        r->error = -XEN_EBADMSG;
    return r->error;
}

int xids_bytering_look(struct xids_bytering *r)
{
    if (r->error != 0)
        return r->error;
    /* Pairs with the peer's release store in publish: its bytes are there, or it is done with the room. */
    uint32_t peer = xids_peer_load_acquire(r->writer ? r->at.cons : r->at.prod);
    /* The peer may move forward only: a consumer up to what we have published, a producer up to a full buffer. */
    uint32_t limit = r->writer ? r->published - r->peer : r->at.size - (r->peer - r->published);
    if (peer - r->peer > limit) {
        r->error = -XEN_EBADMSG;
        return r->error;
    }
    r->peer = peer;
    return (int)xids_bytering_known(r);
}

/* Sets *offset to where our index lies and returns the contiguous known length there. */
static int span_of(struct xids_bytering *r, uint32_t *offset, uint32_t want)
{
    if (r->error != 0)
        return r->error;
    uint32_t n = xids_bytering_known(r);
    if (n < want) {
        int rc = xids_bytering_look(r);
        if (rc < 0)
            return rc;
        n = (uint32_t)rc;
    }
    *offset = r->own & (r->at.size - 1u);
    uint32_t to_end = r->at.size - *offset;
    return (int)(n < to_end ? n : to_end);
}

int xids_bytering_reserve(struct xids_bytering *r, uint8_t XIDS_PEER **span, uint32_t want)
{
    uint32_t offset = 0;
    int n = span_of(r, &offset, want);
    *span = r->at.buffer + offset;
    return n;
}

int xids_bytering_peek(struct xids_bytering *r, const uint8_t XIDS_PEER **span, uint32_t want)
{
    uint32_t offset = 0;
    int n = span_of(r, &offset, want);
    *span = r->at.buffer + offset;
    return n;
}

static int advance(struct xids_bytering *r, uint32_t n)
{
    if (r->error != 0)
        return r->error;
    if (n > xids_bytering_known(r))
        return -XEN_EINVAL;
    r->own += n;
    return 0;
}

int xids_bytering_commit(struct xids_bytering *r, uint32_t n)
{
    return advance(r, n);
}

int xids_bytering_consume(struct xids_bytering *r, uint32_t n)
{
    return advance(r, n);
}

int xids_bytering_write(struct xids_bytering *r, const void *data, uint32_t len)
{
    const uint8_t *from = data;
    uint32_t done = 0;
    /* At most twice: up to the end of the buffer, and from its start. */
    for (int part = 0; part < 2 && done < len; part++) {
        uint32_t offset = 0;
        int n = span_of(r, &offset, len - done);
        if (n < 0)
            return n;
        uint32_t take = (uint32_t)n < len - done ? (uint32_t)n : len - done;
        xids_peer_put(r->at.buffer + offset, from + done, take);
        r->own += take;
        done += take;
    }
    return (int)done;
}

int xids_bytering_read(struct xids_bytering *r, void *data, uint32_t len)
{
    uint8_t *to = data;
    uint32_t done = 0;
    for (int part = 0; part < 2 && done < len; part++) {
        uint32_t offset = 0;
        int n = span_of(r, &offset, len - done);
        if (n < 0)
            return n;
        uint32_t take = (uint32_t)n < len - done ? (uint32_t)n : len - done;
        xids_peer_get(to + done, r->at.buffer + offset, take);
        r->own += take;
        done += take;
    }
    return (int)done;
}

bool xids_bytering_publish(struct xids_bytering *r)
{
    if (r->own == r->published)
        return false;
    /* Release: what we wrote is visible before the index; what we read was read before the room is given back. */
    xids_peer_store_release(r->writer ? r->at.prod : r->at.cons, r->own);
    r->published = r->own;
    return true;
}
