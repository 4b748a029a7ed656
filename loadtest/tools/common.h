/* What both programs need: a clock, bytes that grow, and one header out of a message head. Included once per program. */
#ifndef COMMON_H
#define COMMON_H

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#define LENGTH(literal) (sizeof(literal) - 1)
#define MS 1000000LL
#define SECOND 1000000000LL

/* Both ends of a stream and Python's time.monotonic_ns() read this clock. */
static inline int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

static inline _Noreturn void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline void *checked(void *memory) {
    if (memory == NULL) fail("memory");
    return memory;
}

/* Bytes not yet used: those from start to end of what was allocated. */
struct bytes {
    char *at;
    size_t start, end, room;
};

static inline size_t bytes_size(const struct bytes *bytes) { return bytes->end - bytes->start; }

static inline char *bytes_make_room(struct bytes *bytes, size_t size) {
    if (bytes->start == bytes->end) bytes->start = bytes->end = 0;
    if (bytes->end + size > bytes->room && bytes->start > 0) {
        memmove(bytes->at, bytes->at + bytes->start, bytes_size(bytes));
        bytes->end -= bytes->start;
        bytes->start = 0;
    }
    if (bytes->end + size > bytes->room) {
        bytes->room = 2 * (bytes->end + size);
        bytes->at = checked(realloc(bytes->at, bytes->room));
    }
    return bytes->at + bytes->end;
}

static inline void bytes_append(struct bytes *bytes, const char *data, size_t size) {
    memcpy(bytes_make_room(bytes, size), data, size);
    bytes->end += size;
}

static inline void bytes_free(struct bytes *bytes) {
    free(bytes->at);
    memset(bytes, 0, sizeof *bytes);
}

/* The value of a header (its name in lower case) in a head that ends with an empty line; NULL where it is absent. */
static inline const char *header_value(const char *head, size_t head_size, const char *name, size_t *size) {
    const char *end = head + head_size;
    size_t name_size = strlen(name);
    const char *line = memchr(head, '\n', head_size);
    while (line != NULL && ++line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        if (next == NULL) return NULL;
        if ((size_t)(next - line) > name_size && line[name_size] == ':' && strncasecmp(line, name, name_size) == 0) {
            const char *value = line + name_size + 1, *last = next;
            while (value < last && isspace((unsigned char)*value)) value++;
            while (last > value && isspace((unsigned char)last[-1])) last--;
            *size = (size_t)(last - value);
            return value;
        }
        line = next;
    }
    return NULL;
}

static inline bool header_is(const char *head, size_t head_size, const char *name, const char *wanted) {
    size_t size;
    const char *value = header_value(head, head_size, name, &size);
    return value != NULL && size == strlen(wanted) && strncasecmp(value, wanted, size) == 0;
}

/* Content-length; -1 where there is none. */
static inline long header_length(const char *head, size_t head_size) {
    size_t size;
    const char *value = header_value(head, head_size, "content-length", &size);
    return value != NULL && size > 0 ? strtol(value, NULL, 10) : -1;
}

static inline void epoll_set(int epoll, int operation, int fd, uint32_t events, void *data) {
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(epoll, operation, fd, &event) < 0) fail("epoll_ctl");
}

/* At an absolute moment, and then every so often where interval is not 0. A moment of 0 switches it off. Exact to microseconds, unlike
 * the time-out of epoll_wait, which counts in milliseconds. */
static inline void timer_set(int timer, int64_t at_ns, int64_t interval_ns) {
    struct itimerspec when = {
        .it_value = {at_ns / SECOND, at_ns % SECOND},
        .it_interval = {interval_ns / SECOND, interval_ns % SECOND},
    };
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL) < 0) fail("timerfd_settime");
}

#endif
