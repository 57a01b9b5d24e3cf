/* SPDX-License-Identifier: ISC */
/* The xenstore wire protocol: see xids/xswire.h. */
#include <xids/xswire.h>

/* ---- messages ---- */

static uint32_t word_at(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

int xids_xswire_peek(struct xids_xswire_msg *msg, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    if (len < XIDS_XSWIRE_HEADER)
        return 0;
    uint32_t payload = word_at(p + 12);
    if (payload > XIDS_XSWIRE_PAYLOAD_MAX)
        return -XEN_EBADMSG;
    if (len - XIDS_XSWIRE_HEADER < payload)
        return 0;
    msg->type = word_at(p);
    msg->req_id = word_at(p + 4);
    msg->tx_id = word_at(p + 8);
    msg->len = payload;
    msg->payload = (const char *)p + XIDS_XSWIRE_HEADER;
    return (int)(XIDS_XSWIRE_HEADER + payload);
}

void xids_xswire_parser_init(struct xids_xswire_parser *p, void *buffer)
{
    *p = (struct xids_xswire_parser){.buffer = buffer};
}

/* Moves bytes to the partial message until it has want of them. True when it has. */
static bool fill(struct xids_xswire_parser *p, size_t *used, const uint8_t *bytes, size_t len, uint32_t want)
{
    if (p->have < want) {
        size_t n = want - p->have;
        if (n > len - *used)
            n = len - *used;
        if (n > 0)
            __builtin_memcpy(p->buffer + p->have, bytes + *used, n);
        p->have += (uint32_t)n;
        *used += n;
    }
    return p->have >= want;
}

int xids_xswire_parse(struct xids_xswire_parser *p, struct xids_xswire_msg *msg, size_t *used, const void *bytes,
                      size_t len)
{
    *used = 0;
    if (p->error != 0)
        return p->error;
    int n = 0;
    if (p->have == 0) {
        /* The common case: the message lies whole in the chunk and needs no copy. */
        n = xids_xswire_peek(msg, bytes, len);
        if (n > 0) {
            *used = (size_t)n;
            return 1;
        }
    }
    if (n == 0) {
        if (!fill(p, used, bytes, len, XIDS_XSWIRE_HEADER))
            return 0;
        uint32_t payload = word_at(p->buffer + 12);
        if (payload > XIDS_XSWIRE_PAYLOAD_MAX)
            n = -XEN_EBADMSG;
        else if (!fill(p, used, bytes, len, XIDS_XSWIRE_HEADER + payload))
            return 0;
        else
            n = xids_xswire_peek(msg, p->buffer, p->have);
    }
    p->have = 0;
    if (n < 0) {
        p->error = n;
        return n;
    }
    return 1;
}

int xids_xswire_build(void *out, size_t room, uint32_t type, uint32_t req_id, uint32_t tx_id,
                      const struct xids_xswire_part *parts, unsigned int count)
{
    size_t len = 0;
    for (unsigned int i = 0; i < count; i++) {
        if (parts[i].len > XIDS_XSWIRE_PAYLOAD_MAX - len)
            return -XEN_E2BIG;
        len += parts[i].len;
    }
    if (room < XIDS_XSWIRE_HEADER + len)
        return -XEN_ENOSPC;
    const uint32_t header[4] = {type, req_id, tx_id, (uint32_t)len};
    uint8_t *p = out;
    __builtin_memcpy(p, header, sizeof(header));
    p += sizeof(header);
    for (unsigned int i = 0; i < count; i++) {
        if (parts[i].len > 0)
            __builtin_memcpy(p, parts[i].data, parts[i].len);
        p += parts[i].len;
    }
    return (int)(XIDS_XSWIRE_HEADER + len);
}

int xids_xswire_build_error(void *out, size_t room, uint32_t req_id, uint32_t tx_id, int err)
{
    struct xids_xswire_part part = xids_xswire_string(xids_xswire_error_name(err));
    return xids_xswire_build(out, room, XS_ERROR, req_id, tx_id, &part, 1);
}

/* ---- errors ---- */

static const struct {
    int number;
    const char *name;
} errors[] = {
    {XEN_EINVAL, "EINVAL"}, {XEN_EACCES, "EACCES"},       {XEN_EEXIST, "EEXIST"}, {XEN_EISDIR, "EISDIR"},
    {XEN_ENOENT, "ENOENT"}, {XEN_ENOMEM, "ENOMEM"},       {XEN_ENOSPC, "ENOSPC"}, {XEN_EIO, "EIO"},
    {XEN_EBUSY, "EBUSY"},   {XEN_ENOTEMPTY, "ENOTEMPTY"}, {XEN_ENOSYS, "ENOSYS"}, {XEN_EROFS, "EROFS"},
    {XEN_EAGAIN, "EAGAIN"}, {XEN_EISCONN, "EISCONN"},     {XEN_E2BIG, "E2BIG"},   {XEN_EPERM, "EPERM"},
};

#define ERRORS (sizeof(errors) / sizeof(errors[0]))

const char *xids_xswire_error_name(int err)
{
    for (size_t i = 0; i < ERRORS; i++) {
        if (errors[i].number == err || errors[i].number == -err)
            return errors[i].name;
    }
    return errors[0].name;
}

int xids_xswire_error_number(const char *payload, size_t len)
{
    if (len == 0 || payload[len - 1] != '\0' || xids_xswire_count(payload, len) != 1)
        return -XEN_EBADMSG;
    for (size_t i = 0; i < ERRORS; i++) {
        if (xids_xswire_string(errors[i].name).len == len && __builtin_memcmp(errors[i].name, payload, len) == 0)
            return -errors[i].number;
    }
    return -XEN_EINVAL;
}

/* ---- arguments ---- */

static size_t find_nul(const char *s, size_t len)
{
    size_t i = 0;
    while (i < len && s[i] != '\0')
        i++;
    return i;
}

unsigned int xids_xswire_count(const char *payload, size_t len)
{
    unsigned int n = 0;
    for (size_t i = 0; i < len; i++)
        n += payload[i] == '\0';
    return n;
}

unsigned int xids_xswire_split(struct xids_xswire_str *args, unsigned int max, size_t *rest, const char *payload,
                               size_t len)
{
    unsigned int n = 0;
    size_t at = 0;
    while (n < max) {
        size_t str = find_nul(payload + at, len - at);
        if (at + str == len)
            break;
        args[n++] = (struct xids_xswire_str){payload + at, str};
        at += str + 1;
    }
    if (rest != NULL)
        *rest = len - at;
    return n;
}

int xids_xswire_decimal(uint32_t *value, const char *s, size_t len, uint32_t max)
{
    uint64_t v = 0;
    if (len == 0 || len > 10)
        return -XEN_EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -XEN_EINVAL;
        v = v * 10 + (uint64_t)(s[i] - '0');
    }
    if (v > max)
        return -XEN_EINVAL;
    *value = (uint32_t)v;
    return 0;
}

size_t xids_xswire_format_decimal64(char *out, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    out[n] = '\0';
    return n;
}

size_t xids_xswire_format_decimal(char *out, uint32_t value)
{
    return xids_xswire_format_decimal64(out, value);
}

/* ---- permissions ---- */

static const char letters[4] = {'n', 'r', 'w', 'b'};

int xids_xswire_perm_parse(struct xids_xs_perm *perm, const char *s, size_t len)
{
    uint32_t domid;
    if (len < 2 || xids_xswire_decimal(&domid, s + 1, len - 1, UINT16_MAX) < 0)
        return -XEN_EINVAL;
    for (uint8_t i = 0; i < sizeof(letters); i++) {
        if (s[0] == letters[i]) {
            *perm = (struct xids_xs_perm){.domid = (uint16_t)domid, .access = i};
            return 0;
        }
    }
    return -XEN_EINVAL;
}

size_t xids_xswire_perm_format(char *out, const struct xids_xs_perm *perm)
{
    out[0] = letters[perm->access & XIDS_XS_BOTH];
    return 1 + xids_xswire_format_decimal(out + 1, perm->domid);
}

/* ---- paths ---- */

static bool legal(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '/' || c == '-' ||
           c == '_' || c == '@';
}

int xids_xswire_path_check(const char *path, size_t len)
{
    if (len == 0)
        return -XEN_EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (!legal(path[i]) || (path[i] == '/' && i > 0 && path[i - 1] == '/'))
            return -XEN_EINVAL;
    }
    if (len > 1 && path[len - 1] == '/')
        return -XEN_EINVAL;
    if (path[0] == '/')
        return XIDS_XS_PATH_ABSOLUTE;
    return path[0] == '@' ? XIDS_XS_PATH_SPECIAL : XIDS_XS_PATH_RELATIVE;
}
