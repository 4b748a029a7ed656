/* The model server of the load tests: one healthy or misbehaving way per process. Counts requests; GET /counts tells.
 *
 * upstream PORT [--mode healthy|slow|hanging|failing] [--interval-ms N] [--delay-ms N]
 *
 * A request that asks for a stream gets as many pieces as its max_tokens says, one per interval, each with the moment it was written.
 * Streams sit in a wheel of millisecond slots behind one timer, so that thousands of them cost one wake-up a millisecond. */
#define _GNU_SOURCE
#include "common.h"
#include "messages.h"

#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_REQUEST_BYTES (64 << 20)
#define MOST_NAMES 16

enum mode { HEALTHY, SLOW, HANGING, FAILING };

struct link {
    struct link *before, *after;
};

struct connection {
    struct link link; /* first, so that a link is its connection */
    int fd;
    bool is_busy; /* what follows a request waits until its answer is written */
    bool is_dead, wants_write, closes;
    int64_t due_ns;
    long chunks_left;
    struct bytes in, out;
    struct connection *next_dead;
};

struct tally {
    char name[48];
    long count;
};

static enum mode mode = HEALTHY;
static int64_t delay_ns = 200 * MS;
static int epoll, timer, listener;
static struct connection *dead;
static long requests, answering;
static struct tally arms[MOST_NAMES], paths[MOST_NAMES];

static struct link *slots, waiting = {&waiting, &waiting};
static int64_t slot_count = 20, wheel_ms;

/* A stream's head, one piece and its end lie side by side, so that the first piece leaves with the head and the last with the end. */
static char stream[] = STREAM_HEAD STREAM_CHUNK STREAM_END;
static char *const stream_chunk = stream + LENGTH(STREAM_HEAD);
static char *stream_digits;
static char reply[] = REPLY;
static char *reply_digits;

/* --- lists ---------------------------------------------------------------------------------------------------------- */

static void link_remove(struct link *link) {
    link->before->after = link->after;
    link->after->before = link->before;
    link->before = link->after = link;
}

static void link_add(struct link *list, struct link *link) {
    link->before = list->before;
    link->after = list;
    list->before->after = link;
    list->before = link;
}

static void write_digits(char *at, int count, int64_t number) {
    while (count-- > 0) {
        at[count] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* --- counts --------------------------------------------------------------------------------------------------------- */

static void tally_add(struct tally *tallies, const char *name, size_t size) {
    if (size >= sizeof tallies->name) size = sizeof tallies->name - 1;
    for (int i = 0; i < MOST_NAMES; i++) {
        bool is_free = tallies[i].count == 0, is_last = i == MOST_NAMES - 1;
        if (is_free && is_last) strcpy(tallies[i].name, "other");
        for (size_t j = 0; is_free && !is_last && j < size; j++) {
            bool is_plain = isgraph((unsigned char)name[j]) && name[j] != '"' && name[j] != '\\';
            tallies[i].name[j] = is_plain ? name[j] : '_';
        }
        if (is_free || is_last || (strlen(tallies[i].name) == size && memcmp(tallies[i].name, name, size) == 0)) {
            tallies[i].count++;
            return;
        }
    }
}

static int print_tallies(char *at, size_t room, const struct tally *tallies) {
    int size = 0;
    for (int i = 0; i < MOST_NAMES && tallies[i].count > 0; i++) {
        size += snprintf(at + size, room - (size_t)size, "%s\"%s\": %ld", i ? ", " : "", tallies[i].name, tallies[i].count);
    }
    return size;
}

/* --- writing -------------------------------------------------------------------------------------------------------- */

static void connection_kill(struct connection *connection) {
    if (connection->is_dead) return;
    connection->is_dead = true;
    if (connection->link.after != &connection->link) answering--;
    link_remove(&connection->link);
    connection->next_dead = dead; /* freed when no event of this turn can name it any more */
    dead = connection;
}

static void connection_send(struct connection *connection, const char *data, size_t size) {
    if (connection->is_dead) return;
    if (bytes_size(&connection->out) == 0) {
        ssize_t sent = send(connection->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) {
            connection_kill(connection);
            return;
        }
        if (sent > 0) data += sent, size -= (size_t)sent;
    }
    if (size == 0) return;
    bytes_append(&connection->out, data, size);
    if (!connection->wants_write) epoll_set(epoll, EPOLL_CTL_MOD, connection->fd, EPOLLIN | EPOLLOUT, connection);
    connection->wants_write = true;
}

static void connection_flush(struct connection *connection) {
    struct bytes *out = &connection->out;
    if (bytes_size(out) > 0) {
        ssize_t sent = send(connection->fd, out->at + out->start, bytes_size(out), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) {
            connection_kill(connection);
            return;
        }
        if (sent > 0) out->start += (size_t)sent;
    }
    if (bytes_size(out) > 0) return;
    if (connection->wants_write) epoll_set(epoll, EPOLL_CTL_MOD, connection->fd, EPOLLIN, connection);
    connection->wants_write = false;
    if (connection->closes && !connection->is_busy) connection_kill(connection);
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static void serve(struct connection *connection);

static void finish(struct connection *connection) {
    connection->is_busy = false;
    if (connection->closes) connection_flush(connection);
}

static void answer_plain(struct connection *connection) {
    write_digits(reply_digits, LENGTH(REPLY_NUMBER), requests);
    connection_send(connection, reply, LENGTH(REPLY));
    finish(connection);
}

/* The timer runs while there is something to wait for: a server at rest takes nothing from the core it shares. */
static void start_waiting(struct connection *connection, struct link *list) {
    if (answering++ == 0) {
        int64_t now = now_ns();
        wheel_ms = now / MS;
        timer_set(timer, (wheel_ms + 1) * MS, MS);
    }
    link_add(list ? list : &slots[wheel_ms % slot_count], &connection->link);
}

static void stop_waiting(struct connection *connection) {
    link_remove(&connection->link);
    answering--;
    finish(connection);
    serve(connection);
}

static void start_stream(struct connection *connection, long chunks) {
    connection->chunks_left = chunks - 1;
    write_digits(stream_digits, STAMP_DIGITS, now_ns());
    connection_send(connection, stream, LENGTH(STREAM_HEAD STREAM_CHUNK) + (chunks <= 1 ? LENGTH(STREAM_END) : 0));
    if (chunks <= 1) finish(connection);
    else if (!connection->is_dead) start_waiting(connection, NULL);
}

static void send_chunk(struct connection *connection) {
    bool is_last = --connection->chunks_left <= 0;
    write_digits(stream_digits, STAMP_DIGITS, now_ns());
    connection_send(connection, stream_chunk, LENGTH(STREAM_CHUNK) + (is_last ? LENGTH(STREAM_END) : 0));
    if (is_last && !connection->is_dead) stop_waiting(connection);
}

static void turn(void) {
    int64_t now = now_ns();
    while (waiting.after != &waiting && ((struct connection *)waiting.after)->due_ns <= now) {
        struct connection *connection = (struct connection *)waiting.after;
        write_digits(reply_digits, LENGTH(REPLY_NUMBER), requests);
        connection_send(connection, reply, LENGTH(REPLY));
        if (!connection->is_dead) stop_waiting(connection);
    }
    while (wheel_ms < now / MS) {
        struct link *slot = &slots[++wheel_ms % slot_count], *last = slot->before, *after;
        bool is_done = last == slot;
        for (struct link *link = slot->after; !is_done; link = after) {
            after = link->after;
            is_done = link == last; /* a stream that begins meanwhile is put behind, and has its turn an interval later */
            send_chunk((struct connection *)link);
        }
    }
    if (answering == 0) timer_set(timer, 0, 0);
}

static void answer_counts(struct connection *connection) {
    char text[8192], head[128];
    int size = snprintf(text, sizeof text, "{\"requests\": %ld, \"answering\": %ld, \"arms\": {", requests, answering);
    size += print_tallies(text + size, sizeof text - (size_t)size, arms);
    size += snprintf(text + size, sizeof text - (size_t)size, "}, \"paths\": {");
    size += print_tallies(text + size, sizeof text - (size_t)size, paths);
    size += snprintf(text + size, sizeof text - (size_t)size, "}}");
    int head_size = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n", size);
    connection_send(connection, head, (size_t)head_size);
    connection_send(connection, text, (size_t)size);
    finish(connection);
}

/* How many pieces are asked for; 0 where the body does not ask for a stream. */
static long stream_chunks(const char *body, size_t size) {
    static const char wants[] = "\"stream\"", most[] = "\"max_tokens\"";
    const char *end = body + size, *at = memmem(body, size, wants, LENGTH(wants));
    if (at == NULL) return 0;
    for (at += LENGTH(wants); at < end && (*at == ':' || isspace((unsigned char)*at)); at++) {}
    if (at == end || *at != 't') return 0;
    at = memmem(body, size, most, LENGTH(most));
    if (at == NULL) return 0;
    for (at += LENGTH(most); at < end && (*at == ':' || isspace((unsigned char)*at)); at++) {}
    long chunks = 0;
    for (; at < end && isdigit((unsigned char)*at); at++) chunks = chunks * 10 + (*at - '0');
    return chunks;
}

static void answer(struct connection *connection, const char *head, size_t head_size, const char *body, size_t body_size) {
    const char *path = memchr(head, ' ', head_size);
    const char *path_end = path ? memchr(path + 1, ' ', head_size - (size_t)(path + 1 - head)) : NULL;
    if (path_end == NULL) {
        connection_kill(connection);
        return;
    }
    size_t path_size = (size_t)(path_end - ++path), arm_size = 0;
    connection->closes = memcmp(path_end, " HTTP/1.0", 9) == 0 || header_is(head, head_size, "connection", "close");
    connection->is_busy = true;
    if (path_size == 7 && memcmp(path, "/counts", 7) == 0) {
        answer_counts(connection);
        return;
    }
    requests++;
    const char *arm = header_value(head, head_size, "x-shadowproxy-arm", &arm_size);
    tally_add(arms, arm ? arm : "none", arm ? arm_size : 4);
    tally_add(paths, path, path_size);
    long chunks = stream_chunks(body, body_size);
    switch (mode) {
    case HANGING: return;
    case FAILING:
        connection_send(connection, FAILURE, LENGTH(FAILURE));
        finish(connection);
        return;
    case SLOW:
    case HEALTHY:
        if (chunks > 0) {
            start_stream(connection, chunks);
        } else if (mode == SLOW) {
            connection->due_ns = now_ns() + delay_ns;
            start_waiting(connection, &waiting);
        } else {
            answer_plain(connection);
        }
    }
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

/* The size of a chunked body on the wire, 0 while it is not whole, -1 where it is none; what it carries is put into text. */
static long dechunk(const char *at, size_t size, struct bytes *text) {
    const char *start = at, *end = at + size;
    text->start = text->end = 0;
    for (;;) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL) return 0;
        if (!isxdigit((unsigned char)*at)) return -1;
        size_t piece = strtoul(at, NULL, 16);
        at = line + 1;
        if (piece == 0) break;
        if ((size_t)(end - at) < piece + 2) return 0;
        bytes_append(text, at, piece);
        at += piece + 2;
    }
    for (;;) { /* trailers, up to an empty line */
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL) return 0;
        bool is_empty = line == at || (line == at + 1 && *at == '\r');
        at = line + 1;
        if (is_empty) return at - start;
    }
}

static void serve(struct connection *connection) {
    static struct bytes text;
    struct bytes *in = &connection->in;
    while (!connection->is_dead && !connection->is_busy && !connection->closes && bytes_size(in) > 0) {
        const char *head = in->at + in->start;
        const char *end = memmem(head, bytes_size(in), "\r\n\r\n", 4);
        if (end == NULL) return;
        size_t head_size = (size_t)(end - head) + 4, left = bytes_size(in) - head_size;
        const char *body = head + head_size;
        long size = header_length(head, head_size), whole = size > 0 ? size : 0;
        size = whole;
        if (header_is(head, head_size, "transfer-encoding", "chunked")) {
            whole = dechunk(body, left, &text);
            if (whole == 0) return;
            body = text.at, size = (long)text.end;
        } else if ((size_t)whole > left) {
            return;
        }
        if (whole < 0) {
            connection_kill(connection);
            return;
        }
        in->start += head_size + (size_t)whole;
        answer(connection, head, head_size, body, (size_t)size);
    }
}

static void connection_read(struct connection *connection) {
    for (;;) {
        struct bytes *in = &connection->in;
        char *at = bytes_make_room(in, 4096);
        size_t room = in->room - in->end;
        ssize_t got = recv(connection->fd, at, room, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0 || bytes_size(in) > MOST_REQUEST_BYTES) {
            connection_kill(connection);
            return;
        }
        in->end += (size_t)got;
        serve(connection);
        if (connection->is_dead || (size_t)got < room) return;
    }
}

static void accept_all(void) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *connection = checked(calloc(1, sizeof *connection));
        connection->fd = fd;
        connection->link.before = connection->link.after = &connection->link;
        epoll_set(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, connection);
    }
}

static void bury(void) {
    while (dead != NULL) {
        struct connection *connection = dead;
        dead = connection->next_dead;
        close(connection->fd);
        bytes_free(&connection->in);
        bytes_free(&connection->out);
        free(connection);
    }
}

/* --- start ---------------------------------------------------------------------------------------------------------- */

static enum mode mode_named(const char *name) {
    static const char *const names[] = {"healthy", "slow", "hanging", "failing"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) == 0) return (enum mode)i;
    }
    errno = EINVAL;
    fail(name);
}

static void listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0) fail("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0) fail("listen");
}

static void options(int count, char **arguments) {
    static const struct option known[] = {
        {"mode", required_argument, NULL, 'm'},
        {"interval-ms", required_argument, NULL, 'i'},
        {"delay-ms", required_argument, NULL, 'd'},
        {0}};
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        if (option == 'm') mode = mode_named(optarg);
        else if (option == 'i') slot_count = strtol(optarg, NULL, 10);
        else if (option == 'd') delay_ns = strtol(optarg, NULL, 10) * MS;
        else exit(2);
    }
    errno = EINVAL;
    if (optind != count - 1) fail("one port is needed");
    if (slot_count < 1) fail("--interval-ms");
    listen_on((int)strtol(arguments[optind], NULL, 10));
}

int main(int count, char **arguments) {
    struct epoll_event events[256];
    options(count, arguments);
    stream_digits = memmem(stream_chunk, LENGTH(STREAM_CHUNK), STAMP_MARK, LENGTH(STAMP_MARK)) + LENGTH(STAMP_MARK);
    reply_digits = memmem(reply, LENGTH(REPLY), REPLY_NUMBER, LENGTH(REPLY_NUMBER));
    slots = checked(calloc((size_t)slot_count, sizeof *slots));
    for (int64_t i = 0; i < slot_count; i++) slots[i].before = slots[i].after = &slots[i];
    signal(SIGPIPE, SIG_IGN);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    epoll_set(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    epoll_set(epoll, EPOLL_CTL_ADD, timer, EPOLLIN, &timer);
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            void *of = events[i].data.ptr;
            if (of == &listener) {
                accept_all();
            } else if (of == &timer) {
                uint64_t expired;
                if (read(timer, &expired, sizeof expired) > 0) turn();
            } else {
                struct connection *connection = of;
                if (!connection->is_dead && events[i].events & EPOLLOUT) connection_flush(connection);
                if (!connection->is_dead && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) connection_read(connection);
            }
        }
        bury();
    }
}
