/* SPDX-License-Identifier: ISC */
/* The xenstore client's requests by name. */
#include <xids/xs_client.h>

static int with_path(struct xids_xs_client *c, uint32_t type, uint32_t tx, const char *path, xids_xs_reply_fn *fn,
                     void *ctx)
{
    struct xids_xswire_part part = xids_xswire_string(path);
    return xids_xs_client_request(c, type, tx, &part, 1, fn, ctx);
}

static int with_bytes(struct xids_xs_client *c, uint32_t type, uint32_t tx, const char *path, const void *data,
                      size_t len, xids_xs_reply_fn *fn, void *ctx)
{
    const struct xids_xswire_part parts[2] = {xids_xswire_string(path), {data, len}};
    return xids_xs_client_request(c, type, tx, parts, 2, fn, ctx);
}

int xids_xs_client_read(struct xids_xs_client *c, uint32_t tx, const char *path, xids_xs_reply_fn *fn, void *ctx)
{
    return with_path(c, XS_READ, tx, path, fn, ctx);
}

int xids_xs_client_directory(struct xids_xs_client *c, uint32_t tx, const char *path, xids_xs_reply_fn *fn, void *ctx)
{
    return with_path(c, XS_DIRECTORY, tx, path, fn, ctx);
}

int xids_xs_client_directory_part(struct xids_xs_client *c, uint32_t tx, const char *path, uint32_t offset,
                                  xids_xs_reply_fn *fn, void *ctx)
{
    char number[11];
    size_t len = xids_xswire_format_decimal(number, offset);
    return with_bytes(c, XS_DIRECTORY_PART, tx, path, number, len + 1, fn, ctx);
}

int xids_xs_client_write(struct xids_xs_client *c, uint32_t tx, const char *path, const void *value, uint32_t len,
                         xids_xs_reply_fn *fn, void *ctx)
{
    return with_bytes(c, XS_WRITE, tx, path, value, len, fn, ctx);
}

int xids_xs_client_mkdir(struct xids_xs_client *c, uint32_t tx, const char *path, xids_xs_reply_fn *fn, void *ctx)
{
    return with_path(c, XS_MKDIR, tx, path, fn, ctx);
}

int xids_xs_client_rm(struct xids_xs_client *c, uint32_t tx, const char *path, xids_xs_reply_fn *fn, void *ctx)
{
    return with_path(c, XS_RM, tx, path, fn, ctx);
}

int xids_xs_client_get_perms(struct xids_xs_client *c, uint32_t tx, const char *path, xids_xs_reply_fn *fn, void *ctx)
{
    return with_path(c, XS_GET_PERMS, tx, path, fn, ctx);
}

int xids_xs_client_set_perms(struct xids_xs_client *c, uint32_t tx, const char *path, const char *perms, uint32_t len,
                             xids_xs_reply_fn *fn, void *ctx)
{
    return with_bytes(c, XS_SET_PERMS, tx, path, perms, len, fn, ctx);
}

int xids_xs_client_get_domain_path(struct xids_xs_client *c, domid_t domid, xids_xs_reply_fn *fn, void *ctx)
{
    char number[11];
    (void)xids_xswire_format_decimal(number, domid);
    return with_path(c, XS_GET_DOMAIN_PATH, 0, number, fn, ctx);
}
