/* From bytes to events: HTTP chunks, lines of server-sent events, WebSocket frames. */
#include "reader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *after_key(const char *text, size_t length, const char *key) {
    const char *at = memmem(text, length, key, strlen(key));
    if (!at) return NULL;
    at += strlen(key);
    return *at == ' ' ? at + 1 : at;
}

static void note_id(struct reader *r, const char *text, size_t length) {
    const char *id = after_key(text, length, "\"message_id\":");
    if (id && options.ids) fprintf(options.ids, "%.36s\n", id + 1);
    if (id && options.again) snprintf(r->message, sizeof r->message, "%s", id + 1);
}

static void take_words(struct reader *r, const char *text, size_t length, int64_t now) {
    const char *end = text + length, *at = after_key(text, length, "\"answer\":");
    if (!at) return;
    for (; at + 1 < end; at++) {
        if (*at != 'w' || at[1] < '0' || at[1] > '9') continue;
        char *rest;
        uint32_t n = (uint32_t)strtoul(at + 1, &rest, 10) + 1; /* words count from w0 */
        int64_t sent = *rest == '@' ? strtoll(rest + 1, &rest, 10) : 0;
        if (!sent && r->arrivals && n <= options.until) r->arrivals[n - 1] = now;
        deliver(r, n, sent, now);
        at = rest - 1;
    }
}

/* `text` is followed by a readable byte that is no digit (a line's or a frame's end). */
static void take_data(struct reader *r, const char *text, size_t length) {
    int64_t now = now_ns();
    if ((options.ids || options.tokens_per_second > 0) && !r->identified) {
        r->identified = true;
        note_id(r, text, length);
    }
    if (options.tokens_per_second > 0) {
        take_words(r, text, length, now);
        return;
    }
    const char *number = after_key(text, length, "\"n\":"), *sent = after_key(text, length, "\"sent\":");
    if (number && sent) deliver(r, (uint32_t)strtoul(number, NULL, 10), strtoll(sent, NULL, 10), now);
}

static void take_line(struct reader *r, const char *line, size_t length) {
    if (length == 0) {
        r->frame_has_data = false;
        if (*r->coming) strcpy(r->cursor, r->coming), *r->coming = 0;
    } else if (options.again && length > 3 && memcmp(line, "id:", 3) == 0) {
        line += line[3] == ' ' ? 4 : 3, length -= line[-1] == ' ' ? 4 : 3;
        snprintf(r->coming, sizeof r->coming, "%.*s", (int)length, line);
    } else if (length > 5 && memcmp(line, "data:", 5) == 0) {
        if (!r->frame_has_data) totals.frames++;
        r->frame_has_data = true;
        take_data(r, line + 5, length - 5);
    }
}

/* ---- bytes to lines --------------------------------------------------------------------- */

void keep(struct reader *r, const char *bytes, size_t length) {
    if (r->carry_length + length + 1 > r->carry_room) {
        r->carry_room = (r->carry_length + length + 1) * 2;
        r->carry = realloc(r->carry, r->carry_room);
        if (!r->carry) fail("memory");
    }
    memcpy(r->carry + r->carry_length, bytes, length);
    r->carry_length += length;
    r->carry[r->carry_length] = 0;
}

static void take_text(struct reader *r, const char *text, size_t length) {
    const char *end = text + length, *newline;
    while (text < end && (newline = memchr(text, '\n', end - text))) {
        if (r->carry_length) {
            keep(r, text, newline - text);
            take_line(r, r->carry, r->carry_length);
            r->carry_length = 0;
        } else {
            take_line(r, text, newline - text);
        }
        text = newline + 1;
    }
    if (text < end) keep(r, text, end - text);
}

static bool take_chunks(struct reader *r, const char *at, const char *end) {
    while (at < end) {
        if (r->chunk == CHUNK_DATA) {
            size_t here = (uint64_t)(end - at) < r->chunk_left ? (size_t)(end - at) : r->chunk_left;
            take_text(r, at, here);
            at += here;
            r->chunk_left -= here;
            if (!r->chunk_left) r->chunk = CHUNK_END;
            continue;
        }
        char c = *at++;
        if (r->chunk == CHUNK_END) {
            if (c == '\n') r->chunk = CHUNK_SIZE, r->chunk_left = 0;
        } else if (c == '\n') {
            if (!r->chunk_left) return false; /* the last chunk */
            r->chunk = CHUNK_DATA;
        } else if (r->chunk == CHUNK_SIZE) {
            if (c >= '0' && c <= '9') r->chunk_left = r->chunk_left * 16 + (c - '0');
            else if ((c | 32) >= 'a' && (c | 32) <= 'f') r->chunk_left = r->chunk_left * 16 + ((c | 32) - 'a' + 10);
            else r->chunk = CHUNK_EXTENSION;
        }
    }
    return true;
}

static void take_text_frame(struct reader *r, const char *text, size_t length) {
    totals.frames++;
    if (options.frame_count && memmem(text, length, "\"subscribed\"", 12)) mark_open(r);
    take_data(r, text, length);
    if (options.again) note_cursor(r, text, length);
}

/* The whole frames at the start of the carry (RFC 6455, 5.2; a server's are not masked). */
static bool take_websocket(struct reader *r) {
    size_t used = 0;
    for (;;) {
        const unsigned char *f = (unsigned char *)r->carry + used;
        size_t have = r->carry_length - used, head = 2;
        if (have < 2) break;
        uint64_t length = f[1] & 127;
        if (length == 126) {
            if (have < 4) break;
            length = f[2] << 8 | f[3], head = 4;
        } else if (length == 127) {
            if (have < 10) break;
            for (length = 0, head = 2; head < 10; head++) length = length << 8 | f[head];
        }
        if (have < head + length) break;
        int opcode = f[0] & 15;
        if (opcode == 8) return false;
        if (opcode == 1) take_text_frame(r, (const char *)f + head, length);
        if (opcode == 9 && length < 126) { /* answer a ping; a mask of zeros is a mask */
            unsigned char pong[6 + 125] = {0x8a, 0x80 | length};
            memcpy(pong + 6, f + head, length);
            if (write(r->fd, pong, 6 + length) < 0) return false;
        }
        used += head + length;
    }
    memmove(r->carry, r->carry + used, r->carry_length - used);
    r->carry_length -= used;
    return true;
}

void mark_open(struct reader *r) {
    if (r->opened) return;
    r->opened = true;
    opening--;
    note_open(r);
    if (++open_count <= options.readers) totals.opened = now_ns();
}

bool take_body(struct reader *r, const char *bytes, size_t length) {
    if (!length) return true;
    if (r->framing == WEBSOCKET) {
        keep(r, bytes, length);
        return take_websocket(r);
    }
    mark_open(r); /* a stream is open when its first byte is there */
    if (r->framing == CHUNKED) return take_chunks(r, bytes, bytes + length);
    take_text(r, bytes, length);
    return true;
}
