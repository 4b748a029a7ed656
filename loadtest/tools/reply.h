/* Reads a reply as it comes in: its status, where it ends, and the send times that the pieces of a stream carry. No sockets here. */
#ifndef REPLY_H
#define REPLY_H

#include "common.h"
#include "messages.h"

enum reply_state { HEAD, FIXED, UNTIL_CLOSED, CHUNK_SIZE, CHUNK, CHUNK_AFTER, TRAILER, DONE, BROKEN };

struct reply {
    enum reply_state state;
    int status;
    bool closes; /* the connection cannot serve another request */
    long left; /* bytes of the body, or of this chunk of it */
    size_t line; /* bytes of the line being read: size of a chunk, trailer */
    long stamps;
    int marked, digits; /* how much of a stamp has been read; it may lie across reads and chunks */
    int64_t stamp;
    size_t tail_size, head_size;
    char tail[LENGTH(STREAM_DONE)]; /* the end of the body; from here on nothing needs to be cleared */
    char head[8192];
};

typedef void stamp_seen(void *owner, int64_t stamp_ns);

static void reply_start(struct reply *reply) { memset(reply, 0, offsetof(struct reply, tail)); }

static bool reply_is_whole_stream(const struct reply *reply) {
    return reply->tail_size == sizeof reply->tail && memcmp(reply->tail, STREAM_DONE, sizeof reply->tail) == 0;
}

static void reply_keep_tail(struct reply *reply, const char *at, size_t size) {
    size_t room = sizeof reply->tail;
    if (size >= room) {
        memcpy(reply->tail, at + size - room, room);
        reply->tail_size = room;
        return;
    }
    size_t kept = reply->tail_size + size > room ? room - size : reply->tail_size;
    memmove(reply->tail, reply->tail + reply->tail_size - kept, kept);
    memcpy(reply->tail + kept, at, size);
    reply->tail_size = kept + size;
}

static void reply_body(struct reply *reply, const char *at, size_t size, stamp_seen *seen, void *owner) {
    const int mark_size = LENGTH(STAMP_MARK);
    const char *end = at + size;
    reply_keep_tail(reply, at, size);
    while (at < end) {
        if (reply->marked == 0 && (at = memchr(at, STAMP_MARK[0], (size_t)(end - at))) == NULL) return;
        char now = *at++;
        if (reply->marked < mark_size) {
            reply->marked = now == STAMP_MARK[reply->marked] ? reply->marked + 1 : 0;
            reply->digits = 0, reply->stamp = 0;
        } else if (!isdigit((unsigned char)now)) {
            reply->marked = 0;
        } else {
            reply->stamp = reply->stamp * 10 + (now - '0');
            if (++reply->digits < STAMP_DIGITS) continue;
            reply->marked = 0;
            reply->stamps++;
            seen(owner, reply->stamp);
        }
    }
}

static void reply_head(struct reply *reply) {
    reply->status = atoi(reply->head + LENGTH("HTTP/1.1 "));
    reply->closes = memcmp(reply->head, "HTTP/1.1 ", 9) != 0 || header_is(reply->head, reply->head_size, "connection", "close");
    if (header_is(reply->head, reply->head_size, "transfer-encoding", "chunked")) {
        reply->state = CHUNK_SIZE;
        return;
    }
    reply->left = header_length(reply->head, reply->head_size);
    reply->state = reply->left == 0 ? DONE : reply->left > 0 ? FIXED : UNTIL_CLOSED;
    if (reply->left < 0) reply->closes = true;
}

/* Head bytes are taken up to the empty line, and no further. */
static size_t reply_take_head(struct reply *reply, const char *at, size_t size) {
    size_t before = reply->head_size, room = sizeof reply->head - before, taken = size < room ? size : room;
    memcpy(reply->head + before, at, taken);
    size_t from = before > 3 ? before - 3 : 0;
    const char *end = memmem(reply->head + from, before + taken - from, "\r\n\r\n", 4);
    if (end == NULL) {
        reply->head_size += taken;
        if (reply->head_size == sizeof reply->head) reply->state = BROKEN;
        return taken;
    }
    reply->head_size = (size_t)(end - reply->head) + 4;
    if (reply->head_size < LENGTH("HTTP/1.1 200\r\n\r\n") || memcmp(reply->head, "HTTP/1.", 7) != 0) reply->state = BROKEN;
    else reply_head(reply);
    return reply->head_size - before;
}

/* One byte of what stands between the chunks. */
static void reply_framing(struct reply *reply, char now) {
    if (now == '\n') {
        if (reply->state == CHUNK_SIZE) reply->state = reply->line == 0 ? BROKEN : reply->left > 0 ? CHUNK : TRAILER;
        else if (reply->state == CHUNK_AFTER) reply->state = CHUNK_SIZE, reply->left = 0;
        else if (reply->line == 0) reply->state = DONE;
        reply->line = 0;
    } else if (now != '\r') {
        reply->line++;
        if (reply->state == CHUNK_AFTER || reply->line > 4096) reply->state = BROKEN;
        if (reply->state != CHUNK_SIZE) return;
        if (!isxdigit((unsigned char)now) || reply->left > 1 << 24) reply->state = BROKEN;
        else reply->left = reply->left * 16 + (isdigit((unsigned char)now) ? now - '0' : tolower((unsigned char)now) - 'a' + 10);
    }
}

/* Reads until the reply is done or broken; returns how many bytes were used. */
static size_t reply_feed(struct reply *reply, const char *data, size_t size, stamp_seen *seen, void *owner) {
    const char *at = data, *end = data + size;
    while (at < end && reply->state < DONE) {
        size_t left = (size_t)(end - at);
        if (reply->state == HEAD) {
            at += reply_take_head(reply, at, left);
        } else if (reply->state == UNTIL_CLOSED) {
            reply_body(reply, at, left, seen, owner);
            at = end;
        } else if (reply->state == FIXED || reply->state == CHUNK) {
            size_t piece = left < (size_t)reply->left ? left : (size_t)reply->left;
            reply_body(reply, at, piece, seen, owner);
            at += piece;
            reply->left -= (long)piece;
            if (reply->left == 0) reply->state = reply->state == FIXED ? DONE : CHUNK_AFTER;
        } else {
            reply_framing(reply, *at++);
        }
    }
    return (size_t)(at - data);
}

#endif
