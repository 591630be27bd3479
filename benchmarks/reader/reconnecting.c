/* --again: readers that are cut off come back, at the next port, with the cursor of the last event that they had whole. */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

#define PAUSE_NS 200000000LL /* what the product says in `retry:` */

static int lost, waiting;
static uint64_t cut_off; /* since the last time that all were open */
static int64_t lost_since;

/* A connection is gone, or could not be had. */
void lose(struct reader *r, int64_t now) {
    if (r->opened && !r->lost) {
        if (!lost++) lost_since = now, cut_off = 0;
        cut_off++;
        r->lost = true;
    }
    r->opened = r->frame_has_data = false;
    r->carry_length = 0;
    r->chunk = CHUNK_SIZE;
    r->chunk_left = 0;
    *r->coming = 0;
    r->port++;
    r->again_at = now + PAUSE_NS / 2 + rand() % PAUSE_NS; /* browsers are not in step either */
    waiting++;
}

void note_open(struct reader *r) {
    if (!r->lost) return;
    r->lost = false;
    if (--lost) return;
    printf("{\"event\":\"reopened\",\"readers\":%lu,\"seconds\":%.6f,\"lost_ns\":%ld}\n", cut_off, (now_ns() - lost_since) / 1e9, lost_since);
    fflush(stdout);
}

/* How many are cut off and not back. */
int away(void) {
    return lost;
}

/* The next reader whose pause is over, or -1. */
int next_to_reopen(int64_t now) {
    static int at;
    for (int i = 0; waiting && i < options.readers; i++) {
        at = (at + 1) % options.readers;
        if (!readers[at].again_at || readers[at].again_at > now) continue;
        readers[at].again_at = 0;
        waiting--;
        return at;
    }
    return -1;
}

/* An answer that was begun is asked for by its id; a socket names its cursor in the query. */
const char *path_again(const struct reader *r, const char *path) {
    static char again[4096];
    if (*r->message)
        snprintf(again, sizeof again, "/api/messages/%s/events", r->message);
    else if (options.websocket && *r->cursor)
        snprintf(again, sizeof again, "%s%csince=%s", path, strchr(path, '?') ? '&' : '?', r->cursor);
    else
        return path;
    return again;
}

int cursor_header(const struct reader *r, char *to, size_t room) {
    return *r->cursor && !options.websocket ? snprintf(to, room, "Last-Event-ID: %s\r\n", r->cursor) : 0;
}

static void copy_member(struct reader *r, const char *text, size_t length, const char *key) {
    const char *at = memmem(text, length, key, strlen(key)), *end = at ? memchr(at + strlen(key), '"', text + length - at - strlen(key)) : NULL;
    if (end && (size_t)(end - at) < sizeof r->cursor) snprintf(r->cursor, sizeof r->cursor, "%.*s", (int)(end - at - strlen(key)), at + strlen(key));
}

/* The cursor that a frame of a socket carries: the `id` of a numbered event, or `cursor` before there was one. */
void note_cursor(struct reader *r, const char *text, size_t length) {
    if (memmem(text, length, "\"n\":", 4))
        copy_member(r, text, length, "\"id\":\"");
    else if (!*r->cursor)
        copy_member(r, text, length, "\"cursor\":\"");
}
