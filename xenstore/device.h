/* SPDX-License-Identifier: ISC */
/*
 * Linux's device for programs that talk to xenstore. It takes one message a write and drops what follows. And it must
 * be given nothing while the answer to an earlier request is under way: the kernel sends a message from a buffer that
 * the next write overwrites, perhaps before it was sent; and it registers a watch while it holds the lock that it needs
 * to take the answer in, so that from then on nobody in the domain hears from the store.
 */
#ifndef XENSTORE_DEVICE_H
#define XENSTORE_DEVICE_H

#include <xids/xs_client.h>

/* Whether more is under way than what waits to be sent: len bytes at span, from the start of a message. */
static inline bool xids_device_waits(const struct xids_xs_client *c, const uint8_t *span, size_t len)
{
    struct xids_xswire_msg msg;
    unsigned int unsent = 0;
    for (int n; (n = xids_xswire_peek(&msg, span, len)) > 0; len -= (size_t)n) {
        unsent++;
        span += n;
    }
    return xids_xs_client_outstanding(c) > unsent;
}

/*
 * How many of the len bytes of c's output at span to write at once; 0: none before more has been received. *whole, at
 * first 0: bytes left of the message whose first part was written; the caller subtracts what he writes.
 */
static inline size_t xids_device_portion(const struct xids_xs_client *c, uint32_t *whole, const uint8_t *span,
                                         size_t len)
{
    struct xids_xswire_msg msg;
    if (*whole == 0) {
        if (xids_device_waits(c, span, len))
            return 0;
        int n = xids_xswire_peek(&msg, span, len);
        *whole = n > 0 ? (uint32_t)n : (uint32_t)len;
    }
    return *whole < len ? *whole : len;
}

#endif
