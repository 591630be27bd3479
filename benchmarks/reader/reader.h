/* What the parts of the load generator share. */
#ifndef READER_H
#define READER_H
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum stage { CONNECTING, HEAD, OPEN, CLOSED };
enum framing { PLAIN, CHUNKED, WEBSOCKET };
enum chunk { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END };

struct reader {
    int fd;
    enum stage stage;
    enum framing framing;
    enum chunk chunk;
    uint64_t chunk_left;
    bool opened, frame_has_data, identified;
    uint32_t last;   /* highest number seen */
    uint64_t window; /* bit i: number last - i was seen */
    char *carry;     /* an unfinished head, line or WebSocket frame */
    size_t carry_length, carry_room;
    int64_t *arrivals; /* --tokens: when each word came */
    int port;          /* which of the ports it is at */
    int64_t again_at;  /* --again: when it comes back */
    bool lost;         /* --again: it was open, and is not */
    char cursor[64], coming[64], message[37]; /* --again: the last whole event's id, that of the one being read; its answer */
};

struct options {
    int ports[8], port_count, readers, opening, acks;
    const char *path, *body;
    char **paths;
    char **frames;
    int path_count, frame_count;
    char headers[8192];
    bool websocket, again;
    double tokens_per_second, seconds;
    uint32_t until;
    FILE *ids;
};

#define FINE 64 /* steps per doubling of the latency histogram: 1.6 % */
struct totals {
    uint64_t deliveries, frames, bytes, missing, doubled, reversed, refused, dropped, stamped;
    int64_t started, opened, first, last; /* CLOCK_MONOTONIC, ns */
    int begun;                            /* readers that have had their first event */
    int64_t steady_from, steady_to;       /* all readers had begun; the first had all (--until) */
    uint64_t steady_deliveries;           /* between the two */
    double first_cpu, last_cpu;           /* CPU of this process at the first and the last delivery, s */
    uint64_t latency[FINE * 48];
    double latency_max;
};

extern struct options options;
extern struct totals totals;
extern struct reader *readers;
extern int opening, open_count;    /* being opened; opened so far */
extern int living;                 /* readers that are not closed, those yet to be opened included */
extern uint32_t passed_by_all;     /* the last event that every living reader is past */
extern uint32_t final_number;      /* no event after it will come, once final_known */
extern bool final_known;

/* counting.c */
void fail(const char *what);
int64_t now_ns(void);
double cpu_seconds(void);
void deliver(struct reader *r, uint32_t n, int64_t sent, int64_t now);
void let_go(struct reader *r);
void acknowledge(void);
void report(void);

/* reconnecting.c */
void lose(struct reader *r, int64_t now);
void note_open(struct reader *r);
int away(void);
int next_to_reopen(int64_t now);
const char *path_again(const struct reader *r, const char *path);
int cursor_header(const struct reader *r, char *to, size_t room);
void note_cursor(struct reader *r, const char *text, size_t length);

/* framing.c */
void keep(struct reader *r, const char *bytes, size_t length);
void mark_open(struct reader *r);
bool take_body(struct reader *r, const char *bytes, size_t length);

#endif
