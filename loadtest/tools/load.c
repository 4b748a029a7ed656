/* The load of the load tests: an open loop of requests, or event streams. Prints one JSON object.
 *
 * load steady --port P --rate R --seconds S [--connections K] [--spin-us U]
 * load streams --port P --streams K --chunks N --seconds S [--interval-ms I]
 * load replay --port P --schedule FILE     lines of "at_s chunks body_bytes", in order of time
 *
 * steady: requests leave on a fixed schedule whatever the replies do, and latency counts from the scheduled moment, so that a stall shows
 * in every request behind it; from_send_… counts from the write. What finds every connection busy waits, and its latency runs.
 * --spin-us: for so long before each request the clock is watched rather than slept on, where a core has nothing else to do.
 * streams: so many stay open until the time is up, then they end. They begin spread over one stream's length.
 * replay: each stream begins at its moment, on an idle connection where there is one. */
#define _GNU_SOURCE
#include "common.h"
#include "messages.h"
#include "reply.h"

#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define GIVE_UP_NS (10 * SECOND)
#define STREAM_GRACE_NS (20 * SECOND)
#define SWEEP_NS (SECOND / 10)
#define BODY_BYTES 1024

enum kind { STEADY, STREAMS, REPLAY };
enum connection_state { CLOSED, CONNECTING, IDLE, BUSY };
enum failure { CONNECT, LOST, TIMED_OUT, STATUS, MALFORMED, TRUNCATED, FAILURES };
static const char *const failure_names[FAILURES] = {"connect", "closed", "timeout", "status", "malformed", "truncated"};

struct samples {
    double *ms;
    size_t count, room;
};

struct text {
    char *at;
    size_t size;
};

struct connection {
    int fd;
    enum connection_state state;
    bool is_warm; /* it served a request before */
    bool wants_write;
    struct text request;
    size_t written;
    bool owns_request;
    long chunks;
    int64_t due_ns, sent_ns, read_ns, reading_ns;
    bool saw_stamp;
    struct reply reply;
    struct connection *next_idle;
};

struct arrival {
    int64_t at_ns;
    long chunks, body_bytes;
};

static enum kind kind;
static int port = 0, epoll, timer;
static double rate = 1000, seconds = 4;
static long connection_count = 128, stream_count = 200, chunk_count = 100, interval_ms = 20, spin_us = 0;
static const char *schedule_file;

static struct connection *connections;
static struct connection *first_idle, *last_idle;
static int64_t *retries; /* due times of requests whose idle connection the server had closed */
static size_t retry_count, retry_room;
static struct samples latency, from_send, lag, ttft, ttft_cold, ttft_warm, transit, gap;
static long done, reconnected, queued, failures[FAILURES];
static int64_t started_ns, until_ns;
static struct text question;
static struct arrival *arrivals;
static long arrival_count;

/* --- figures -------------------------------------------------------------------------------------------------------- */

static void samples_reserve(struct samples *samples, size_t room) {
    samples->ms = checked(realloc(samples->ms, room * sizeof *samples->ms));
    memset(samples->ms + samples->room, 0, (room - samples->room) * sizeof *samples->ms); /* touched now, not on the way */
    samples->room = room;
}

static void samples_add(struct samples *samples, int64_t ns) {
    if (samples->count == samples->room) samples_reserve(samples, samples->room ? samples->room * 2 : 4096);
    samples->ms[samples->count++] = (double)ns / 1e6;
}

static int ascending(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* By nearest rank, as percentiles.py does; nothing where nothing was measured. */
static void print_samples(struct samples *samples, const char *prefix) {
    static const double shares[] = {50, 90, 99, 99.9};
    if (samples->count == 0) return;
    qsort(samples->ms, samples->count, sizeof *samples->ms, ascending);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        size_t rank = (size_t)((double)samples->count * shares[i] / 100), last = samples->count - 1;
        printf(", \"%sp%g_ms\": %.6f", prefix, shares[i], samples->ms[rank < last ? rank : last]);
    }
    printf(", \"%smax_ms\": %.6f", prefix, samples->ms[samples->count - 1]);
}

static long failed(void) {
    long sum = 0;
    for (int i = 0; i < FAILURES; i++) sum += failures[i];
    return sum;
}

static void print_report(double took_s) {
    if (kind == STEADY) printf("{\"requests\": %ld, \"reconnected\": %ld, \"queued\": %ld", done, reconnected, queued);
    else printf("{\"streams\": %ld, \"chunks\": %zu", done, transit.count);
    printf(", \"seconds\": %.6f, \"errors\": %ld", took_s, failed());
    for (int i = 0; i < FAILURES; i++) printf(", \"errors_%s\": %ld", failure_names[i], failures[i]);
    print_samples(&latency, "");
    print_samples(&from_send, "from_send_");
    print_samples(&ttft, "ttft_");
    print_samples(&ttft_cold, "ttft_cold_");
    print_samples(&ttft_warm, "ttft_warm_");
    print_samples(&transit, "transit_");
    print_samples(&gap, "gap_");
    print_samples(&lag, "generator_lag_");
    printf("}\n");
}

/* --- requests ------------------------------------------------------------------------------------------------------- */

/* A question of about this size; a stream of so many pieces where chunks is not 0. */
static struct text make_request(long body_bytes, long chunks) {
    char stream[64] = "", start[256], head[256];
    if (chunks > 0) snprintf(stream, sizeof stream, QUESTION_STREAM_FORMAT, (int)chunks);
    int start_size = snprintf(start, sizeof start, QUESTION_START_FORMAT, stream);
    long room = body_bytes - start_size - (long)LENGTH(QUESTION_END);
    if (room < 1) room = 1;
    int head_size = snprintf(head, sizeof head, REQUEST_HEAD_FORMAT, (int)(start_size + room + (long)LENGTH(QUESTION_END)));
    struct text request = {.size = (size_t)(head_size + start_size + room) + LENGTH(QUESTION_END)};
    char *at = request.at = checked(malloc(request.size));
    memcpy(at, head, (size_t)head_size), at += head_size;
    memcpy(at, start, (size_t)start_size), at += start_size;
    for (long left = room; left > 0; left -= (long)LENGTH(QUESTION_WORDS)) {
        size_t piece = (size_t)left < LENGTH(QUESTION_WORDS) ? (size_t)left : LENGTH(QUESTION_WORDS);
        memcpy(at, QUESTION_WORDS, piece), at += piece;
    }
    memcpy(at, QUESTION_END, LENGTH(QUESTION_END));
    return request;
}

/* --- idle connections ----------------------------------------------------------------------------------------------- */

/* steady takes turns, as many clients would; replay prefers the one used last, as a client's pool does. */
static void idle_add(struct connection *connection) {
    connection->state = IDLE;
    connection->next_idle = NULL;
    if (first_idle == NULL) first_idle = last_idle = connection;
    else if (kind == REPLAY) connection->next_idle = first_idle, first_idle = connection;
    else last_idle->next_idle = connection, last_idle = connection;
}

static void idle_remove(struct connection *connection) {
    struct connection *before = NULL;
    for (struct connection *each = first_idle; each != NULL; before = each, each = each->next_idle) {
        if (each != connection) continue;
        if (before == NULL) first_idle = each->next_idle;
        else before->next_idle = each->next_idle;
        if (last_idle == each) last_idle = before;
        return;
    }
}

static struct connection *idle_take(void) {
    struct connection *connection = first_idle;
    if (connection != NULL && (first_idle = connection->next_idle) == NULL) last_idle = NULL;
    return connection;
}

/* --- connections ---------------------------------------------------------------------------------------------------- */

static void release_request(struct connection *connection) {
    if (connection->owns_request) free(connection->request.at);
    connection->owns_request = false;
    connection->request = (struct text){0};
}

static void connection_close(struct connection *connection) {
    if (connection->state == CLOSED) return;
    if (connection->state == IDLE) idle_remove(connection);
    close(connection->fd);
    release_request(connection);
    connection->state = CLOSED;
}

static bool connection_open(struct connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) return false;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        close(connection->fd);
        return false;
    }
    connection->state = CONNECTING;
    connection->is_warm = false;
    connection->wants_write = true;
    epoll_set(epoll, EPOLL_CTL_ADD, connection->fd, EPOLLIN | EPOLLOUT, connection);
    return true;
}

static void connection_watch(struct connection *connection, bool wants_write) {
    if (connection->wants_write == wants_write) return;
    epoll_set(epoll, EPOLL_CTL_MOD, connection->fd, wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN, connection);
    connection->wants_write = wants_write;
}

/* A steady load keeps its number of connections. */
static void connection_replace(struct connection *connection) {
    connection_close(connection);
    if (kind == STEADY) connection_open(connection); /* where that fails the sweep tries again; requests wait meanwhile */
}

static void connection_fail(struct connection *connection, enum failure failure) {
    bool was_idle_closed = failure == LOST && connection->is_warm && connection->reply.head_size == 0;
    if (connection->state == BUSY && kind == STEADY && was_idle_closed) {
        /* The server closed it while the request was on its way: RFC 9112 9.3.1 lets us ask again. */
        if (retry_count == retry_room) retries = checked(realloc(retries, (retry_room = 2 * retry_room + 16) * sizeof *retries));
        retries[retry_count++] = connection->due_ns;
        reconnected++;
    } else if (connection->state == BUSY || kind != STEADY) {
        failures[failure]++;
    }
    bool is_refused = connection->state == CONNECTING;
    connection_close(connection);
    if (!is_refused) connection_replace(connection); /* one that was refused is tried again by the sweep */
}

static void stream_open(struct connection *connection, struct text request, bool owns_request, long chunks) {
    connection->request = request;
    connection->owns_request = owns_request;
    connection->chunks = chunks;
    if (!connection_open(connection)) {
        failures[CONNECT]++;
        release_request(connection);
    }
}

static void connection_write(struct connection *connection) {
    struct text *request = &connection->request;
    while (connection->written < request->size) {
        size_t left = request->size - connection->written;
        ssize_t sent = send(connection->fd, request->at + connection->written, left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            connection_watch(connection, true);
            return;
        }
        if (sent < 0) {
            connection_fail(connection, LOST);
            return;
        }
        connection->written += (size_t)sent;
    }
    connection_watch(connection, false);
    release_request(connection);
}

static void connection_ask(struct connection *connection) {
    connection->state = BUSY;
    connection->written = 0;
    connection->saw_stamp = false;
    reply_start(&connection->reply);
    connection->sent_ns = now_ns();
    connection_write(connection);
}

/* --- replies -------------------------------------------------------------------------------------------------------- */

static void on_stamp(void *owner, int64_t stamp_ns) {
    struct connection *connection = owner;
    connection->saw_stamp = true;
    samples_add(&transit, connection->reading_ns - stamp_ns);
}

/* The first read of a stream that brought pieces ends the wait for it; later ones are compared with the one before. */
static void count_read(struct connection *connection, long stamps_before) {
    if (connection->reply.stamps == stamps_before) return;
    if (stamps_before == 0) {
        samples_add(&ttft, connection->reading_ns - connection->sent_ns);
        samples_add(connection->is_warm ? &ttft_warm : &ttft_cold, connection->reading_ns - connection->sent_ns);
    } else {
        samples_add(&gap, connection->reading_ns - connection->read_ns);
    }
    connection->read_ns = connection->reading_ns;
}

static void reply_done(struct connection *connection) {
    struct reply *reply = &connection->reply;
    bool is_stream = kind != STEADY, may_go_on = true;
    connection->is_warm = true;
    if (reply->status != 200) {
        failures[STATUS]++;
        may_go_on &= !is_stream;
    } else if (is_stream && (reply->stamps != connection->chunks || !reply_is_whole_stream(reply))) {
        failures[TRUNCATED]++;
        may_go_on = false;
    } else {
        done++;
        if (!is_stream) {
            samples_add(&latency, connection->reading_ns - connection->due_ns);
            samples_add(&from_send, connection->reading_ns - connection->sent_ns);
        }
    }
    bool goes_on = kind == STREAMS && may_go_on && now_ns() < until_ns;
    if (goes_on && reply->closes) {
        connection_close(connection);
        stream_open(connection, question, false, chunk_count);
    } else if (goes_on) {
        connection->request = question;
        connection_ask(connection);
    } else if (kind == STREAMS) {
        connection_close(connection);
    } else if (!may_go_on || reply->closes) {
        connection_replace(connection);
    } else {
        idle_add(connection);
    }
}

static void connection_read(struct connection *connection) {
    static char data[1 << 18];
    struct reply *reply = &connection->reply;
    ssize_t got = recv(connection->fd, data, sizeof data, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    connection->reading_ns = now_ns();
    if (connection->state == IDLE) { /* closed, or it speaks without being asked */
        if (kind == STEADY) reconnected++;
        connection_replace(connection);
        return;
    }
    if (got <= 0) {
        if (reply->state == UNTIL_CLOSED && got == 0) reply_done(connection);
        else connection_fail(connection, LOST);
        return;
    }
    long stamps_before = reply->stamps;
    size_t used = reply_feed(reply, data, (size_t)got, on_stamp, connection);
    count_read(connection, stamps_before);
    if (reply->state == BROKEN || used < (size_t)got) connection_fail(connection, MALFORMED);
    else if (reply->state == DONE && connection->request.size > 0) connection_fail(connection, MALFORMED); /* before it was asked */
    else if (reply->state == DONE) reply_done(connection);
}

static void connection_connected(struct connection *connection) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        connection_fail(connection, CONNECT);
    } else if (kind == STEADY) {
        connection_watch(connection, false);
        idle_add(connection);
    } else {
        if (kind == REPLAY) samples_add(&lag, now_ns() - connection->due_ns);
        connection_ask(connection);
    }
}

/* Waits for what is ready, handles it, and says whether anything was; at_ns is when to come back at the latest. */
static bool poll_until(int64_t at_ns) {
    struct epoll_event events[64];
    bool waits = at_ns > now_ns();
    if (waits) timer_set(timer, at_ns, 0);
    int ready = epoll_wait(epoll, events, 64, waits ? -1 : 0);
    for (int i = 0; i < ready; i++) {
        struct connection *connection = events[i].data.ptr;
        if (connection == NULL) {
            uint64_t expired;
            if (read(timer, &expired, sizeof expired) < 0 && errno != EAGAIN) fail("timer");
        } else if (connection->state == CONNECTING) {
            connection_connected(connection);
        } else if (connection->state != CLOSED) {
            int fd = connection->fd;
            if (events[i].events & EPOLLOUT && connection->state == BUSY) connection_write(connection);
            bool is_same = connection->fd == fd && (connection->state == BUSY || connection->state == IDLE);
            if (is_same && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) connection_read(connection);
        }
    }
    return ready > 0;
}

static int64_t earlier(int64_t one, int64_t other) { return one < other ? one : other; }

/* --- steady --------------------------------------------------------------------------------------------------------- */

static void sweep(int64_t now) {
    for (long i = 0; i < connection_count; i++) {
        struct connection *connection = &connections[i];
        if (connection->state == BUSY && now - connection->due_ns > GIVE_UP_NS) connection_fail(connection, TIMED_OUT);
        if (connection->state == CLOSED) connection_replace(connection);
    }
}

static void steady_ask(struct connection *connection, int64_t due_ns, bool was_queued) {
    connection->due_ns = due_ns;
    connection->request = question;
    connection_ask(connection);
    if (was_queued) queued++;
    else samples_add(&lag, connection->sent_ns - due_ns); /* one that had to wait for a connection was not late by our fault */
}

static void steady(void) {
    long total = (long)(rate * seconds), scheduled = 0, asked = 0;
    double gap_ns = 1e9 / rate;
    struct samples *all[] = {&latency, &from_send, &lag};
    for (int i = 0; i < 3; i++) samples_reserve(all[i], (size_t)total + 1);
    question = make_request(BODY_BYTES, 0);
    connections = checked(calloc((size_t)connection_count, sizeof *connections));
    for (long i = 0; i < connection_count; i++) connection_replace(&connections[i]);
    int64_t now = now_ns(), next_sweep = now + SWEEP_NS;
    started_ns = now + 50 * MS;
    int64_t give_up = started_ns + (int64_t)(gap_ns * (double)total) + GIVE_UP_NS;
    while (done + failed() < total && (now = now_ns()) < give_up) {
        long before = scheduled;
        while (scheduled < total && started_ns + (int64_t)(gap_ns * (double)scheduled) <= now) scheduled++;
        while (retry_count > 0 && first_idle != NULL) steady_ask(idle_take(), retries[--retry_count], true);
        while (asked < scheduled && first_idle != NULL) {
            bool was_queued = asked < before;
            steady_ask(idle_take(), started_ns + (int64_t)(gap_ns * (double)asked++), was_queued);
        }
        if (now >= next_sweep) {
            sweep(now);
            next_sweep = now + SWEEP_NS;
        }
        int64_t due = scheduled < total ? started_ns + (int64_t)(gap_ns * (double)scheduled) : give_up;
        poll_until(earlier(due - spin_us * 1000, next_sweep));
    }
    long unanswered = total - done - failed(), unasked = scheduled - asked + (long)retry_count;
    failures[CONNECT] += unasked;
    failures[TIMED_OUT] += unanswered - unasked;
    print_report((double)(now_ns() - started_ns) / 1e9);
}

/* --- streams -------------------------------------------------------------------------------------------------------- */

static bool any_busy(long count) {
    for (long i = 0; i < count; i++) {
        if (connections[i].state == BUSY || connections[i].state == CONNECTING) return true;
    }
    return false;
}

static void give_up_streams(long count) {
    for (long i = 0; i < count; i++) {
        if (connections[i].state == BUSY || connections[i].state == CONNECTING) failures[TIMED_OUT]++;
        connection_close(&connections[i]);
    }
    print_report((double)(now_ns() - started_ns) / 1e9);
}

static int earliest(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

/* Evenly over one stream's length, each then put off by its share of an interval (multiples of the golden ratio, which never line up):
 * beginnings a whole part of the interval apart would send all pieces in a few large bursts. */
static int64_t *beginnings(void) {
    int64_t *moments = checked(calloc((size_t)stream_count + 1, sizeof *moments));
    int64_t spread_ns = earlier(chunk_count * interval_ms * MS, (until_ns - started_ns) / 2);
    for (long i = 0; i < stream_count; i++) {
        double turns = (double)i * 0.6180339887498949;
        moments[i] = started_ns + spread_ns * i / stream_count + (int64_t)((turns - (double)(long)turns) * (double)(interval_ms * MS));
    }
    qsort(moments, (size_t)stream_count, sizeof *moments, earliest);
    return moments;
}

static void streams(void) {
    question = make_request(BODY_BYTES, chunk_count);
    connections = checked(calloc((size_t)stream_count, sizeof *connections));
    samples_reserve(&transit, (size_t)((double)stream_count * (seconds * 1000 / (double)interval_ms + 2 * (double)chunk_count)) + 1);
    samples_reserve(&gap, transit.room);
    started_ns = now_ns();
    until_ns = started_ns + (int64_t)(seconds * 1e9);
    int64_t *moments = beginnings();
    int64_t give_up = until_ns + chunk_count * interval_ms * MS + STREAM_GRACE_NS, now, next_look = 0;
    for (long opened = 0; (now = now_ns()) < give_up;) {
        while (opened < stream_count && moments[opened] <= now) stream_open(&connections[opened++], question, false, chunk_count);
        if (opened == stream_count && now >= next_look) {
            if (!any_busy(stream_count)) break;
            next_look = now + 10 * MS;
        }
        poll_until(opened < stream_count ? moments[opened] : earlier(next_look, give_up));
    }
    free(moments);
    give_up_streams(stream_count);
}

static void read_schedule(void) {
    FILE *file = fopen(schedule_file, "r");
    if (file == NULL) fail(schedule_file);
    double at_s;
    struct arrival arrival;
    long room = 0;
    while (fscanf(file, "%lf %ld %ld", &at_s, &arrival.chunks, &arrival.body_bytes) == 3) {
        if (arrival_count == room) arrivals = checked(realloc(arrivals, (size_t)(room = 2 * room + 64) * sizeof *arrivals));
        arrival.at_ns = (int64_t)(at_s * 1e9);
        arrivals[arrival_count++] = arrival;
    }
    fclose(file);
}

static void replay_begin(const struct arrival *arrival, long *opened) {
    struct text request = make_request(arrival->body_bytes, arrival->chunks);
    struct connection *connection = idle_take();
    if (connection == NULL) {
        connection = &connections[(*opened)++]; /* opened once each: as many as there are arrivals at most */
        connection->due_ns = started_ns + arrival->at_ns;
        stream_open(connection, request, true, arrival->chunks);
        return;
    }
    connection->due_ns = started_ns + arrival->at_ns;
    connection->request = request;
    connection->owns_request = true;
    connection->chunks = arrival->chunks;
    samples_add(&lag, now_ns() - connection->due_ns);
    connection_ask(connection);
}

static void replay(void) {
    read_schedule();
    connections = checked(calloc((size_t)arrival_count + 1, sizeof *connections));
    started_ns = now_ns() + 100 * MS;
    int64_t last_ns = arrival_count ? arrivals[arrival_count - 1].at_ns : 0;
    int64_t give_up = started_ns + last_ns + 60 * SECOND + STREAM_GRACE_NS, now, next_look = 0;
    for (long next = 0, opened = 0; (now = now_ns()) < give_up;) {
        while (next < arrival_count && started_ns + arrivals[next].at_ns <= now) replay_begin(&arrivals[next++], &opened);
        if (next == arrival_count && now >= next_look) {
            if (!any_busy(opened)) break;
            next_look = now + 10 * MS;
        }
        poll_until(next < arrival_count ? started_ns + arrivals[next].at_ns : earlier(next_look, give_up));
    }
    give_up_streams(arrival_count);
}

/* --- start ---------------------------------------------------------------------------------------------------------- */

static void options(int count, char **arguments) {
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'},
        {"rate", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'},
        {"connections", required_argument, NULL, 'k'},
        {"spin-us", required_argument, NULL, 'u'},
        {"streams", required_argument, NULL, 'n'},
        {"chunks", required_argument, NULL, 'c'},
        {"interval-ms", required_argument, NULL, 'i'},
        {"schedule", required_argument, NULL, 'f'},
        {0}};
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'k': connection_count = atol(optarg); break;
        case 'n': stream_count = atol(optarg); break;
        case 'c': chunk_count = atol(optarg); break;
        case 'i': interval_ms = atol(optarg); break;
        case 'u': spin_us = atol(optarg); break;
        case 'f': schedule_file = optarg; break;
        default: exit(2);
        }
    }
    const char *name = optind < count ? arguments[optind] : "";
    errno = EINVAL;
    if (strcmp(name, "steady") == 0) kind = STEADY;
    else if (strcmp(name, "streams") == 0) kind = STREAMS;
    else if (strcmp(name, "replay") == 0) kind = REPLAY;
    else fail("steady, streams or replay");
    if (port <= 0 || rate <= 0 || seconds <= 0 || connection_count < 1) fail("--port, --rate, --seconds, --connections");
    if (stream_count < 1 || chunk_count < 1 || interval_ms < 1) fail("--streams, --chunks, --interval-ms");
    if (kind == REPLAY && schedule_file == NULL) fail("--schedule");
}

int main(int count, char **arguments) {
    options(count, arguments);
    signal(SIGPIPE, SIG_IGN);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    epoll_set(epoll, EPOLL_CTL_ADD, timer, EPOLLIN, NULL);
    if (kind == STEADY) steady();
    else if (kind == STREAMS) streams();
    else replay();
}
