/* SPDX-License-Identifier: ISC */
/* vchan, passing bytes between a ring and a file descriptor. */
#include <xids/vchan_fd.h>

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define MAX_MAX (UINT32_C(1) << 30)

/* What struct xids_vchan_fd knows. */
enum {
    KIND_SOCKET = 1u << 0,
    KIND_SIGNALS = 1u << 1, /* writing may raise SIGPIPE, which the program does not expect */
};

int xids_vchan_fd_init(struct xids_vchan_fd *end, int fd, unsigned int flags)
{
    struct stat st;
    *end = (struct xids_vchan_fd){.fd = fd};
    if ((flags & ~(unsigned int)XIDS_VCHAN_FD_NO_SIGPIPE) != 0)
        return -XEN_EINVAL;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISSOCK(st.st_mode)) {
        int type = 0;
        socklen_t size = sizeof(type);
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
            return -errno;
        end->kind = KIND_SOCKET;
        return type == SOCK_STREAM ? 0 : -XEN_EINVAL;
    }
    if (!S_ISREG(st.st_mode) && (flags & XIDS_VCHAN_FD_NO_SIGPIPE) == 0)
        end->kind = KIND_SIGNALS;
    return 0;
}

/* The spans as the kernel takes them, at most max bytes; the number of pieces. */
static int pieces(struct iovec iov[2], const struct xids_vchan_span spans[2], uint32_t max)
{
    int n = 0;
    for (int i = 0; i < 2 && max > 0 && spans[i].len > 0; i++) {
        uint32_t len = spans[i].len < max ? spans[i].len : max;
        /* The mark is dropped for the kernel, which copies each byte once. */
        iov[n++] = (struct iovec){.iov_base = XIDS_PEER_RAW(void, spans[i].data), .iov_len = len};
        max -= len;
    }
    return n;
}

static ssize_t take(const struct xids_vchan_fd *end, struct iovec *iov, int count)
{
    if ((end->kind & KIND_SOCKET) == 0)
        return readv(end->fd, iov, count);
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    return recvmsg(end->fd, &message, MSG_DONTWAIT);
}

/* writev for a thread that must not see SIGPIPE: it is held back, and taken if it is ours. */
static ssize_t write_unsignalled(int fd, const struct iovec *iov, int count)
{
    sigset_t only, before, waiting;
    (void)sigemptyset(&only);
    (void)sigaddset(&only, SIGPIPE);
    (void)sigpending(&waiting);
    int rc = pthread_sigmask(SIG_BLOCK, &only, &before);
    if (rc != 0) {
        errno = rc;
        return -1;
    }
    ssize_t n = writev(fd, iov, count);
    int error = errno;
    if (n < 0 && error == EPIPE && sigismember(&waiting, SIGPIPE) == 0) {
        const struct timespec at_once = {0};
        (void)sigtimedwait(&only, NULL, &at_once);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return n;
}

static ssize_t give(const struct xids_vchan_fd *end, struct iovec *iov, int count)
{
    if ((end->kind & KIND_SOCKET) != 0) {
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
        return sendmsg(end->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return (end->kind & KIND_SIGNALS) != 0 ? write_unsignalled(end->fd, iov, count) : writev(end->fd, iov, count);
}

int xids_vchan_from_fd(struct xids_vchan *ch, enum xids_vchan_side *side, const struct xids_vchan_fd *end, uint32_t max)
{
    struct xids_vchan_span spans[2];
    struct iovec iov[2];
    *side = XIDS_VCHAN_SIDE_CHANNEL;
    if (max == 0 || max > MAX_MAX)
        return -XEN_EINVAL;
    int rc = xids_vchan_reservev(ch, spans, max);
    if (rc < 0)
        return rc;
    *side = XIDS_VCHAN_SIDE_FD;
    ssize_t n = take(end, iov, pieces(iov, spans, max));
    if (n <= 0)
        return n < 0 ? -errno : 0;
    /* It cannot fail: the room is known, and a channel breaks only when it looks at its peer. */
    rc = xids_vchan_commit(ch, (uint32_t)n);
    return rc < 0 ? rc : (int)n;
}

int xids_vchan_to_fd(struct xids_vchan *ch, enum xids_vchan_side *side, const struct xids_vchan_fd *end, uint32_t max)
{
    struct xids_vchan_span spans[2];
    struct iovec iov[2];
    *side = XIDS_VCHAN_SIDE_CHANNEL;
    if (max == 0 || max > MAX_MAX)
        return -XEN_EINVAL;
    int rc = xids_vchan_peekv(ch, spans, max);
    if (rc <= 0)
        return rc;
    *side = XIDS_VCHAN_SIDE_FD;
    ssize_t n = give(end, iov, pieces(iov, spans, max));
    if (n < 0)
        return -errno;
    /* 0 means the channel's end, and nothing was taken. */
    if (n == 0)
        return -XEN_EIO;
    rc = xids_vchan_consume(ch, (uint32_t)n);
    return rc < 0 ? rc : (int)n;
}
