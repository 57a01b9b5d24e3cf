/* SPDX-License-Identifier: ISC */
/* libxendevicemodel.so.1 opens and closes; no domain here has devices to emulate (see xendevicemodel.list). */
#include <stdlib.h>
#include <xendevicemodel.h>

struct xendevicemodel_handle {
    char unused;
};

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger, unsigned int open_flags)
{
    (void)logger;
    (void)open_flags;
    return calloc(1, sizeof(struct xendevicemodel_handle));
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
    free(dmod);
    return 0;
}
