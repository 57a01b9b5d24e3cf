/* SPDX-License-Identifier: ISC */
/* vchan: many pieces of memory in one call, and both spans of a ring at once. */
#include "vchan/internal.h"

/* What the pieces hold together, or -XEN_EINVAL. */
static int sum_of(const struct xids_vchan_iov *iov, unsigned int count)
{
    uint32_t sum = 0;
    for (unsigned int i = 0; i < count; i++) {
        if (iov[i].len > (uint32_t)INT32_MAX - sum)
            return -XEN_EINVAL;
        sum += iov[i].len;
    }
    return (int)sum;
}

/* Copies n bytes that are known to be there, or to have room, piece by piece. Returns n, or the ring's error. */
static int copy(struct xids_bytering *r, const struct xids_vchan_iov *iov, uint32_t n)
{
    for (uint32_t done = 0; done < n; iov++) {
        uint32_t take = iov->len < n - done ? iov->len : n - done;
        int rc = r->writer ? xids_bytering_write(r, iov->data, take) : xids_bytering_read(r, iov->data, take);
        if (rc < 0)
            return rc;
        done += take;
    }
    return (int)n;
}

static int copy_out(struct xids_vchan *ch, const struct xids_vchan_iov *iov, uint32_t n)
{
    int rc = copy(&ch->in, iov, n);
    if (rc > 0)
        xids_vchan_took_(ch, n);
    return rc;
}

static int copy_in(struct xids_vchan *ch, const struct xids_vchan_iov *iov, uint32_t n)
{
    int rc = copy(&ch->out, iov, n);
    if (rc > 0)
        xids_vchan_wrote_(ch);
    return rc;
}

static uint32_t least(int n, int len)
{
    return (uint32_t)(n < len ? n : len);
}

int xids_vchan_readv(struct xids_vchan *ch, const struct xids_vchan_iov *iov, unsigned int count)
{
    int len = sum_of(iov, count);
    if (len < 0)
        return len;
    int n = xids_vchan_incoming_(ch, (uint32_t)len);
    if (n < 0 || len == 0)
        return n < 0 ? n : 0;
    return n == 0 ? xids_vchan_drained_(ch) : copy_out(ch, iov, least(n, len));
}

int xids_vchan_writev(struct xids_vchan *ch, const struct xids_vchan_iov *iov, unsigned int count)
{
    int len = sum_of(iov, count);
    if (len < 0)
        return len;
    int n = xids_vchan_outgoing_(ch, (uint32_t)len);
    if (n < 0 || len == 0)
        return n < 0 ? n : 0;
    return n == 0 ? -XEN_EAGAIN : copy_in(ch, iov, least(n, len));
}

int xids_vchan_recvv(struct xids_vchan *ch, const struct xids_vchan_iov *iov, unsigned int count)
{
    int len = sum_of(iov, count);
    if (len < 0)
        return len;
    if ((uint32_t)len > ch->in.at.size)
        return -XEN_EMSGSIZE;
    int n = xids_vchan_incoming_(ch, (uint32_t)len);
    if (n < 0 || len == 0)
        return n < 0 ? n : 0;
    return n >= len ? copy_out(ch, iov, (uint32_t)len) : xids_vchan_short_(ch, n);
}

int xids_vchan_sendv(struct xids_vchan *ch, const struct xids_vchan_iov *iov, unsigned int count)
{
    int len = sum_of(iov, count);
    if (len < 0)
        return len;
    if ((uint32_t)len > ch->out.at.size)
        return -XEN_EMSGSIZE;
    int n = xids_vchan_outgoing_(ch, (uint32_t)len);
    if (n < 0 || len == 0)
        return n < 0 ? n : 0;
    return n >= len ? copy_in(ch, iov, (uint32_t)len) : -XEN_EAGAIN;
}

/* What is known, n bytes from our index on, as two spans. */
static int split(const struct xids_bytering *r, struct xids_vchan_span spans[2], uint32_t n)
{
    uint32_t offset = r->own & (r->at.size - 1u);
    uint32_t first = n < r->at.size - offset ? n : r->at.size - offset;
    spans[0] = (struct xids_vchan_span){.data = r->at.buffer + offset, .len = first};
    if (n > first)
        spans[1] = (struct xids_vchan_span){.data = r->at.buffer, .len = n - first};
    return (int)n;
}

int xids_vchan_peekv(struct xids_vchan *ch, struct xids_vchan_span spans[2], uint32_t want)
{
    spans[0] = spans[1] = (struct xids_vchan_span){.data = NULL};
    int n = xids_vchan_incoming_(ch, want);
    if (n < 0)
        return n;
    return n == 0 ? xids_vchan_drained_(ch) : split(&ch->in, spans, (uint32_t)n);
}

int xids_vchan_reservev(struct xids_vchan *ch, struct xids_vchan_span spans[2], uint32_t want)
{
    spans[0] = spans[1] = (struct xids_vchan_span){.data = NULL};
    int n = xids_vchan_outgoing_(ch, want);
    if (n < 0)
        return n;
    return n == 0 ? -XEN_EAGAIN : split(&ch->out, spans, (uint32_t)n);
}
