/* SPDX-License-Identifier: ISC */
/*
 * The xenstore wire protocol (xen/io/xs_wire.h, docs/misc/xenstore.txt): messages, their arguments, errors,
 * permissions, paths. Used by both sides; knows no connection. Nothing here allocates or keeps state, except the
 * parser, whose buffer is the caller's.
 *
 * A message is a 16-byte header and at most 4096 bytes of payload. Numbers are in the machine's own byte order.
 * Payloads are bytes: what is called a string here has a length and, on the wire, a NUL after it.
 */
#ifndef XIDS_XSWIRE_H
#define XIDS_XSWIRE_H

#include <xids/base.h>
#include <xen/io/xs_wire.h>

XIDS_BEGIN_DECLS

#define XIDS_XSWIRE_HEADER 16u
#define XIDS_XSWIRE_PAYLOAD_MAX 4096u
#define XIDS_XSWIRE_MESSAGE_MAX (XIDS_XSWIRE_HEADER + XIDS_XSWIRE_PAYLOAD_MAX)

/* Message types and features newer than the public header of Xen 4.17. */
#define XIDS_XS_GET_FEATURE ((uint32_t)XS_DIRECTORY_PART + 1u)
#define XIDS_XS_SET_FEATURE ((uint32_t)XS_DIRECTORY_PART + 2u)
#define XIDS_XS_GET_QUOTA ((uint32_t)XS_DIRECTORY_PART + 3u)
#define XIDS_XS_SET_QUOTA ((uint32_t)XS_DIRECTORY_PART + 4u)

/* Ring features (server_features of the ring page; XS_GET_FEATURE). */
#define XIDS_XS_FEATURE_RECONNECTION 1u
#define XIDS_XS_FEATURE_ERROR 2u
#define XIDS_XS_FEATURE_WATCHDEPTH 4u
#define XIDS_XS_FEATURE_DOMID_ANY 8u

/* The domid that, in a permission, means every domain. */
#define XIDS_XS_DOMID_ANY 0x7ff5u

/* ---- messages ---- */

/* One whole message. payload lies in the buffer it was parsed from and is not terminated. */
struct xids_xswire_msg {
    uint32_t type; /* enum xsd_sockmsg_type */
    uint32_t req_id;
    uint32_t tx_id;
    uint32_t len; /* of the payload in bytes, at most 4096 */
    const char *payload;
};

/*
 * Looks for one whole message at the start of len bytes, without copying. Returns its length in bytes, header
 * included, with *msg set; 0 when more bytes are needed; -XEN_EBADMSG: the header says more than 4096 bytes, after
 * which the stream has no meaning.
 */
int xids_xswire_peek(struct xids_xswire_msg *msg, const void *bytes, size_t len) XIDS_MUST_CHECK;

/*
 * A stream of messages out of chunks of any size. buffer holds the message that is partly there; it is the caller's,
 * XIDS_XSWIRE_MESSAGE_MAX bytes, and lives as long as the parser.
 */
struct xids_xswire_parser {
    uint8_t *buffer;
    uint32_t have; /* bytes of the partial message */
    int error;     /* 0, or -XEN_EBADMSG for ever */
};

void xids_xswire_parser_init(struct xids_xswire_parser *p, void *buffer);

/*
 * Takes bytes until a message is whole. Always sets *used to the number of bytes taken. Returns 1 with *msg set,
 * valid until the next call and as long as bytes stay; 0: all were taken and more are needed; -XEN_EBADMSG: over-long,
 * the stream is broken for good.
 */
int xids_xswire_parse(struct xids_xswire_parser *p, struct xids_xswire_msg *msg, size_t *used, const void *bytes,
                      size_t len) XIDS_MUST_CHECK;

/* A piece of a payload to be built. */
struct xids_xswire_part {
    const void *data;
    size_t len;
};

/* A part that is a C string with its NUL. */
static inline struct xids_xswire_part xids_xswire_string(const char *s)
{
    size_t len = 1;
    while (s[len - 1] != '\0')
        len++;
    return (struct xids_xswire_part){s, len};
}

/*
 * Writes a message whose payload is the count parts in order. Returns its length in bytes, header included;
 * -XEN_E2BIG: the payload is over 4096 bytes; -XEN_ENOSPC: it does not fit in room bytes. Then nothing is written.
 */
int xids_xswire_build(void *out, size_t room, uint32_t type, uint32_t req_id, uint32_t tx_id,
                      const struct xids_xswire_part *parts, unsigned int count) XIDS_MUST_CHECK;

/* Writes the XS_ERROR reply for an errno, negative or positive. As xids_xswire_build. */
int xids_xswire_build_error(void *out, size_t room, uint32_t req_id, uint32_t tx_id, int err) XIDS_MUST_CHECK;

/* ---- errors ---- */

/* The wire name of an errno, negative or positive. What has no name is "EINVAL", as C xenstored sends it. */
const char *xids_xswire_error_name(int err);

/*
 * The negative errno of an XS_ERROR payload. A name that is not in the protocol's table is -XEN_EINVAL, as in
 * libxenstore; a payload that is not one terminated string is -XEN_EBADMSG.
 */
int xids_xswire_error_number(const char *payload, size_t len);

/* ---- arguments ---- */

/* A string of a payload: len without its NUL, which is there. */
struct xids_xswire_str {
    const char *s;
    size_t len;
};

/* Counts the NULs of a payload: the number of its terminated strings. */
unsigned int xids_xswire_count(const char *payload, size_t len);

/*
 * Splits off the first max strings. Returns how many there were, at most max; *rest, which may be NULL, is set to the
 * number of bytes after the last one taken. Never reads beyond len.
 */
unsigned int xids_xswire_split(struct xids_xswire_str *args, unsigned int max, size_t *rest, const char *payload,
                               size_t len);

/*
 * The decimal number that len bytes spell: 1 to 10 digits and nothing else. Sets *value. -XEN_EINVAL: anything else,
 * or more than max.
 */
int xids_xswire_decimal(uint32_t *value, const char *s, size_t len, uint32_t max) XIDS_MUST_CHECK;

/* Writes a number in decimal, with a NUL, at out (11 bytes). Returns the length without the NUL. */
size_t xids_xswire_format_decimal(char *out, uint32_t value);

/* The same for 64 bits: 21 bytes. */
size_t xids_xswire_format_decimal64(char *out, uint64_t value);

/* ---- permissions ---- */

enum xids_xs_access {
    XIDS_XS_NONE = 0,
    XIDS_XS_READ = 1,
    XIDS_XS_WRITE = 2,
    XIDS_XS_BOTH = 3,
};

/* One entry. The first of a list names the owner, and the access of everybody who has no entry. */
struct xids_xs_perm {
    uint16_t domid;
    uint8_t access; /* enum xids_xs_access */
};

/* Bytes of the longest permission with its NUL: "b65535". */
#define XIDS_XS_PERM_BYTES 7u

/* Reads "n0", "r5", "w7", "b3": one letter and a decimal domid up to 65535. -XEN_EINVAL: anything else. */
int xids_xswire_perm_parse(struct xids_xs_perm *perm, const char *s, size_t len) XIDS_MUST_CHECK;

/* Writes it, with a NUL, at out (XIDS_XS_PERM_BYTES). Returns the length without the NUL. */
size_t xids_xswire_perm_format(char *out, const struct xids_xs_perm *perm);

/* ---- paths ---- */

enum xids_xs_path_kind {
    XIDS_XS_PATH_ABSOLUTE = 1, /* /... */
    XIDS_XS_PATH_RELATIVE = 2, /* to the domain's own /local/domain/N */
    XIDS_XS_PATH_SPECIAL = 3,  /* @... */
};

/*
 * Checks len bytes (without a NUL) as a path: letters, digits and -/_@ only; not empty; no // and, but for "/" itself,
 * no / at the end. Lengths are quotas and checked elsewhere. Returns an enum xids_xs_path_kind, or -XEN_EINVAL.
 */
int xids_xswire_path_check(const char *path, size_t len) XIDS_MUST_CHECK;

XIDS_END_DECLS

#endif
