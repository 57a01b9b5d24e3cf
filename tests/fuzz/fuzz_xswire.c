/* SPDX-License-Identifier: ISC */
/*
 * The xenstore wire codec on any bytes. The first byte chooses how the rest is cut into chunks: however it is cut, the
 * stream must give the same messages as one that is looked at whole. Then each payload goes through every reader of
 * payloads; what such a reader accepts must come out the same when it is written again.
 */
#include <stdlib.h>
#include <string.h>
#include <xids/xswire.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool fine)
{
    if (!fine)
        abort();
}

static void read_number(const char *s, size_t len)
{
    char again[16];
    uint32_t value = 0, back = 1;

    if (xids_xswire_decimal(&value, s, len, UINT32_MAX) != 0)
        return;
    size_t n = xids_xswire_format_decimal(again, value);
    check(n > 0 && n <= len && again[n] == '\0');
    check(xids_xswire_decimal(&back, again, n, UINT32_MAX) == 0 && back == value);
}

static void read_perm(const char *s, size_t len)
{
    char again[XIDS_XS_PERM_BYTES];
    struct xids_xs_perm perm, back;

    if (xids_xswire_perm_parse(&perm, s, len) != 0)
        return;
    check(perm.access <= XIDS_XS_BOTH);
    size_t n = xids_xswire_perm_format(again, &perm);
    check(n < sizeof(again) && again[n] == '\0' && again[0] == s[0]);
    check(xids_xswire_perm_parse(&back, again, n) == 0);
    check(back.domid == perm.domid && back.access == perm.access);
}

static void read_path(const char *s, size_t len)
{
    int kind = xids_xswire_path_check(s, len);

    if (kind < 0)
        return;
    check(len > 0);
    for (size_t i = 0; i < len; i++)
        check(s[i] != '\0' && !(s[i] == '/' && i + 1 < len && s[i + 1] == '/'));
    check((kind == XIDS_XS_PATH_ABSOLUTE) == (s[0] == '/'));
    check((kind == XIDS_XS_PATH_SPECIAL) == (s[0] == '@'));
    check(len == 1 || s[len - 1] != '/');
}

static void read_payload(const char *payload, size_t len)
{
    struct xids_xswire_str args[8];
    size_t rest = len + 1, used = 0;
    unsigned int n = xids_xswire_split(args, 8, &rest, payload, len);
    unsigned int strings = xids_xswire_count(payload, len);

    check(n == (strings < 8 ? strings : 8) && rest <= len);
    for (unsigned int i = 0; i < n; i++) {
        check(args[i].s == payload + used && args[i].s[args[i].len] == '\0');
        used += args[i].len + 1;
        read_number(args[i].s, args[i].len);
        read_perm(args[i].s, args[i].len);
        read_path(args[i].s, args[i].len);
    }
    check(used + rest == len);
    check(xids_xswire_error_number(payload, len) < 0);
}

static void rebuild(const struct xids_xswire_msg *m)
{
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    const struct xids_xswire_part part = {m->payload, m->len};
    struct xids_xswire_msg back;
    int n = xids_xswire_build(out, sizeof(out), m->type, m->req_id, m->tx_id, &part, 1);

    check(n == (int)(XIDS_XSWIRE_HEADER + m->len));
    check(xids_xswire_peek(&back, out, (size_t)n) == n);
    check(back.type == m->type && back.req_id == m->req_id && back.tx_id == m->tx_id && back.len == m->len);
    check(m->len == 0 || memcmp(back.payload, m->payload, m->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t buffer[XIDS_XSWIRE_MESSAGE_MAX];
    struct xids_xswire_parser parser;

    if (len < 1)
        return 0;
    size_t chunk = data[0] ? data[0] : 1;
    data++;
    len--;

    const uint8_t *whole = data;
    size_t whole_left = len;
    xids_xswire_parser_init(&parser, buffer);
    while (len > 0) {
        struct xids_xswire_msg m, same;
        size_t now = len < chunk ? len : chunk, used = now + 1;
        int rc = xids_xswire_parse(&parser, &m, &used, data, now);

        check(used <= now);
        if (rc < 0) {
            check(rc == -XEN_EBADMSG && xids_xswire_peek(&same, whole, whole_left) == rc);
            check(xids_xswire_parse(&parser, &m, &used, data, now) == -XEN_EBADMSG);
            break;
        }
        if (rc == 0) {
            check(used == now);
        } else {
            int n = xids_xswire_peek(&same, whole, whole_left);
            check(n == (int)(XIDS_XSWIRE_HEADER + m.len) && same.len == m.len && same.type == m.type);
            check(m.len == 0 || memcmp(same.payload, m.payload, m.len) == 0);
            whole += n;
            whole_left -= (size_t)n;
            read_payload(m.payload, m.len);
            rebuild(&m);
        }
        data += used;
        len -= used;
    }
    return 0;
}
