/* SPDX-License-Identifier: ISC */
/*
 * Formatting, and printing by it.
 */
#include "platform/guest/guest.h"

/* Digits of the longest number in base 10; of one in base 16 there are fewer. */
#define DIGITS 20u

typedef void put_fn(void *ctx, const char *text, size_t len);

struct spec {
    bool zero, left;
    unsigned int width;
    unsigned int size; /* of the number: bytes */
};

static void pad(put_fn *put, void *ctx, char with, size_t count)
{
    static const char spaces[] = "                ", zeros[] = "0000000000000000";
    const char *from = with == '0' ? zeros : spaces;
    while (count > 0) {
        size_t part = count < sizeof(spaces) - 1 ? count : sizeof(spaces) - 1;
        put(ctx, from, part);
        count -= part;
    }
}

static void put_padded(put_fn *put, void *ctx, const struct spec *spec, const char *text, size_t len)
{
    size_t fill = spec->width > len ? spec->width - len : 0;
    if (!spec->left)
        pad(put, ctx, ' ', fill);
    put(ctx, text, len);
    if (spec->left)
        pad(put, ctx, ' ', fill);
}

/* prefix: what stands before the zeros. */
static void put_number(put_fn *put, void *ctx, const struct spec *spec, const char *prefix, uint64_t n,
                       unsigned int base)
{
    char digits[2 + DIGITS];
    size_t at = sizeof(digits), before = 0;
    while (prefix[before] != '\0')
        before++;
    do {
        digits[--at] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n != 0);
    size_t len = sizeof(digits) - at;
    if (spec->zero && !spec->left) {
        put(ctx, prefix, before);
        pad(put, ctx, '0', spec->width > before + len ? spec->width - before - len : 0);
        put(ctx, digits + at, len);
        return;
    }
    while (before > 0)
        digits[--at] = prefix[--before];
    put_padded(put, ctx, spec, digits + at, sizeof(digits) - at);
}

static const char *parse(struct spec *spec, const char *f)
{
    *spec = (struct spec){.size = sizeof(int)};
    for (;; f++) {
        if (*f == '0')
            spec->zero = true;
        else if (*f == '-')
            spec->left = true;
        else
            break;
    }
    for (; *f >= '0' && *f <= '9'; f++)
        if (spec->width < 1000)
            spec->width = spec->width * 10 + (unsigned int)(*f - '0');
    if (*f == 'z') {
        spec->size = sizeof(size_t);
        f++;
    } else if (*f == 'l') {
        spec->size = sizeof(long);
        f++;
        if (*f == 'l') {
            spec->size = sizeof(long long);
            f++;
        }
    }
    return f;
}

void guest_format(put_fn *put, void *ctx, const char *format, va_list args)
{
    while (*format != '\0') {
        size_t plain = 0;
        while (format[plain] != '\0' && format[plain] != '%')
            plain++;
        if (plain > 0)
            put(ctx, format, plain);
        format += plain;
        if (*format == '\0')
            return;

        struct spec spec;
        format = parse(&spec, format + 1);
        bool large = spec.size > sizeof(int);
        switch (*format) {
        case '%':
            put(ctx, "%", 1);
            break;
        case 'c': {
            char c = (char)va_arg(args, int);
            put_padded(put, ctx, &spec, &c, 1);
            break;
        }
        case 's': {
            const char *text = va_arg(args, const char *);
            size_t len = 0;
            text = text != NULL ? text : "(null)";
            while (text[len] != '\0')
                len++;
            put_padded(put, ctx, &spec, text, len);
            break;
        }
        case 'd': {
            int64_t n = large ? va_arg(args, int64_t) : va_arg(args, int);
            put_number(put, ctx, &spec, n < 0 ? "-" : "", n < 0 ? 0 - (uint64_t)n : (uint64_t)n, 10);
            break;
        }
        case 'u':
        case 'x': {
            uint64_t n = large ? va_arg(args, uint64_t) : va_arg(args, unsigned int);
            put_number(put, ctx, &spec, "", n, *format == 'u' ? 10 : 16);
            break;
        }
        case 'p':
            put_number(put, ctx, &spec, "0x", (uintptr_t)va_arg(args, void *), 16);
            break;
        default: {
            /* What follows cannot be found any more. */
            static const char note[] = "(unknown format)";
            put(ctx, note, sizeof(note) - 1);
            return;
        }
        }
        format++;
    }
}

/* Collects pieces, so that the console is not told of each. */
struct line {
    void (*write)(const char *text, size_t len);
    size_t len;
    char text[256];
};

static void line_end(struct line *line)
{
    if (line->len > 0)
        line->write(line->text, line->len);
    line->len = 0;
}

static void line_put(void *ctx, const char *text, size_t len)
{
    struct line *line = ctx;
    while (len > 0) {
        size_t room = sizeof(line->text) - line->len, part = len < room ? len : room;
        __builtin_memcpy(line->text + line->len, text, part);
        line->len += part;
        text += part;
        len -= part;
        if (line->len == sizeof(line->text))
            line_end(line);
    }
}

void xids_guest_print(const char *format, ...)
{
    struct line line = {.write = guest_console_write};
    va_list args;
    va_start(args, format);
    guest_format(line_put, &line, format, args);
    va_end(args);
    line_end(&line);
}

void guest_early_print(const char *format, ...)
{
    struct line line = {.write = arch_early_write};
    va_list args;
    va_start(args, format);
    guest_format(line_put, &line, format, args);
    va_end(args);
    line_end(&line);
}
