/*
 * Many readers of event streams in one process: the load generator of the benchmarks.
 *
 * Every event that is published carries its number ("n", from 1) and the moment it was
 * published ("sent", CLOCK_MONOTONIC in ns). Each reader checks that numbers rise by one
 * and notes how old each event was when it came out of the socket.
 *
 *   reader --port P --readers N [--path PATH] [--paths FILE] [--header "K: V"]... [--body TEXT]
 *          [--websocket] [--tokens PER_SECOND] [--until N] [--opening N] [--seconds S] [--acks FD] [--ids FILE]
 *
 * It prints a line of JSON when all readers are open, and one at the end. On standard input
 * it takes "last N" (no event after N will come) and ends at the end of its input.
 * With --acks it writes, as a 32-bit number, the last event that ALL readers have passed, and
 * 0xffffffff when nobody has received anything for 300 ms: what is under way is taken as lost.
 * With --ids it writes the message id that each answer names, a line each; with --paths,
 * reader i asks for line i of that file.
 * With --tokens an event is one word "wK" or "wK@SENT" of an answer, however many a frame
 * holds; without SENT a word's age is its lateness against the even schedule.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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
};

static struct options {
    int port, readers, opening, acks;
    const char *path, *body;
    char **paths;
    int path_count;
    char headers[8192];
    bool websocket;
    double tokens_per_second, seconds;
    uint32_t until;
} options = {.opening = 64, .acks = -1, .path = "/", .headers = "", .seconds = 600};

#define READ_ROOM (512 * 1024)
#define QUIET_NS 300000000LL
#define FINE 64 /* steps per doubling of the latency histogram: 1.6 % */
static struct totals {
    uint64_t deliveries, frames, bytes, missing, doubled, reversed, refused, dropped, stamped;
    int64_t started, opened, first, last;
    double first_cpu;
    uint64_t latency[FINE * 48];
    double latency_max;
} totals;

static struct reader *readers;
static int poller, next_to_open, opening, open_count;
static int living; /* readers that are not closed, those yet to be opened included */
static uint32_t *reached, reached_room, passed_by_all, final_number;
static bool final_known;
static FILE *ids;
static char input[READ_ROOM];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- counting ---------------------------------------------------------------------- */

static void note_latency(double microseconds) {
    if (microseconds < 1) microseconds = 1;
    if (microseconds > totals.latency_max) totals.latency_max = microseconds;
    uint64_t whole = (uint64_t)microseconds;
    int exponent = 63 - __builtin_clzll(whole);
    int step = (int)((microseconds / (double)(1ULL << exponent) - 1) * FINE);
    totals.latency[exponent * FINE + (step >= FINE ? FINE - 1 : step)]++;
}

static double latency_at(double share) {
    uint64_t all = 0, below = 0;
    for (int i = 0; i < FINE * 48; i++) all += totals.latency[i];
    for (int i = 0; i < FINE * 48; i++) {
        below += totals.latency[i];
        if (all && below >= share * all) return (double)(1ULL << (i / FINE)) * (1 + (i % FINE + 0.5) / FINE);
    }
    return 0;
}

static void reach(uint32_t from, uint32_t to) {
    if (to >= reached_room) {
        uint32_t room = reached_room ? reached_room : 1024;
        while (room <= to) room *= 2;
        reached = realloc(reached, room * sizeof *reached);
        if (!reached) fail("memory");
        memset(reached + reached_room, 0, (room - reached_room) * sizeof *reached);
        reached_room = room;
    }
    for (uint32_t n = from; n <= to; n++) reached[n]++;
}

/* One published event came out of the socket; `sent` 0: it did not say when it was published. */
static void deliver(struct reader *r, uint32_t n, int64_t sent, int64_t now) {
    if (!totals.first) {
        totals.first = now;
        totals.first_cpu = cpu_seconds();
    }
    totals.last = now;
    totals.deliveries++;
    if (sent) {
        totals.stamped++;
        note_latency((now - sent) / 1e3);
    }
    if (n > r->last) {
        uint32_t step = n - r->last;
        totals.missing += step - 1;
        r->window = (step < 64 ? r->window << step : 0) | 1;
        reach(r->last + 1, n);
        r->last = n;
        return;
    }
    uint32_t back = r->last - n;
    if (back >= 64 || (r->window >> back & 1)) {
        totals.doubled++;
    } else {
        r->window |= 1ULL << back;
        totals.reversed++;
        totals.missing--;
    }
}

static void tell(uint32_t number) {
    if (options.acks >= 0 && write(options.acks, &number, sizeof number) < 0) options.acks = -1;
}

static void acknowledge(void) {
    static int64_t told;
    int64_t now = now_ns();
    uint32_t before = passed_by_all;
    while (living && passed_by_all + 1 < reached_room && reached[passed_by_all + 1] >= (uint32_t)living) passed_by_all++;
    if (passed_by_all != before) {
        tell(passed_by_all);
    } else if (now - totals.last > QUIET_NS && now - told > QUIET_NS) {
        tell(UINT32_MAX);
        told = now;
    }
}

/* ---- what travels in a frame ---------------------------------------------------------- */

static const char *after_key(const char *text, size_t length, const char *key) {
    const char *at = memmem(text, length, key, strlen(key));
    if (!at) return NULL;
    at += strlen(key);
    return *at == ' ' ? at + 1 : at;
}

static void note_id(const char *text, size_t length) {
    const char *id = after_key(text, length, "\"message_id\":");
    if (id) fprintf(ids, "%.36s\n", id + 1);
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
    if (ids && !r->identified) {
        r->identified = true;
        note_id(text, length);
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
        if (r->frame_has_data) totals.frames++;
        r->frame_has_data = false;
    } else if (length > 5 && memcmp(line, "data:", 5) == 0) {
        r->frame_has_data = true;
        take_data(r, line + 5, length - 5);
    }
}

/* ---- bytes to lines --------------------------------------------------------------------- */

static void keep(struct reader *r, const char *bytes, size_t length) {
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
        if (opcode == 1) totals.frames++, take_data(r, (const char *)f + head, length);
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

/* ---- connections ------------------------------------------------------------------------ */

static void close_reader(struct reader *r) {
    if (r->stage == CLOSED) return;
    if (!r->opened) opening--, totals.refused++;
    if (r->opened && !(options.until && r->last >= options.until)) totals.dropped++;
    close(r->fd);
    r->stage = CLOSED;
    living--;
    /* It no longer holds the others up. */
    for (uint32_t n = passed_by_all + 1; n <= r->last; n++) reached[n]--;
}

static void mark_open(struct reader *r) {
    if (r->opened) return;
    r->opened = true;
    opening--;
    open_count++;
    totals.opened = now_ns();
}

static void open_reader(struct reader *r, int index) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(options.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = index};
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (r->fd < 0) fail("socket");
    if (options.tokens_per_second > 0) r->arrivals = calloc(options.until, sizeof *r->arrivals);
    opening++;
    if (connect(r->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) fail("connect");
    if (epoll_ctl(poller, EPOLL_CTL_ADD, r->fd, &event) < 0) fail("epoll_ctl");
}

static bool send_request(struct reader *r, int index) {
    static char request[1 << 16];
    const char *path = options.path_count ? options.paths[index % options.path_count] : options.path;
    int length = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s", options.body ? "POST" : "GET", path, options.port, options.headers);
    if (options.websocket)
        length += snprintf(request + length, sizeof request - length, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    else if (options.body)
        length += snprintf(request + length, sizeof request - length, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(options.body), options.body);
    else
        length += snprintf(request + length, sizeof request - length, "Accept: text/event-stream\r\n\r\n");
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    epoll_ctl(poller, EPOLL_CTL_MOD, r->fd, &event);
    r->stage = HEAD;
    return write(r->fd, request, length) == length;
}

static bool take_body(struct reader *r, const char *bytes, size_t length) {
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

static bool take_head(struct reader *r, const char *bytes, size_t length) {
    keep(r, bytes, length);
    char *end = strstr(r->carry, "\r\n\r\n");
    if (!end) return true;
    const char *wanted = options.websocket ? "HTTP/1.1 101" : "HTTP/1.1 200";
    if (strncmp(r->carry, wanted, strlen(wanted)) != 0) {
        if (!totals.refused) fprintf(stderr, "refused: %.600s\n", r->carry);
        return false;
    }
    *end = 0;
    r->framing = options.websocket ? WEBSOCKET : strcasestr(r->carry, "\r\ntransfer-encoding: chunked") ? CHUNKED : PLAIN;
    r->stage = OPEN;
    if (options.websocket) mark_open(r);
    size_t head = end + 4 - r->carry, rest = r->carry_length - head;
    char *body = malloc(rest + 1);
    memcpy(body, r->carry + head, rest);
    body[rest] = 0;
    r->carry_length = 0;
    bool alive = take_body(r, body, rest);
    free(body);
    return alive;
}

static void take_input(struct reader *r, int index) {
    if (r->stage == CONNECTING) {
        if (!send_request(r, index)) close_reader(r);
        return;
    }
    ssize_t length = recv(r->fd, input, sizeof input - 1, 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length <= 0) {
        close_reader(r);
        return;
    }
    input[length] = 0;
    totals.bytes += length;
    if (!(r->stage == HEAD ? take_head(r, input, length) : take_body(r, input, length))) close_reader(r);
}

/* ---- the run ----------------------------------------------------------------------------- */

/* Lateness against the even schedule: the earliest word of a reader, less its number's time, is taken as on time. */
static void note_lateness(struct reader *r) {
    double step = 1e9 / options.tokens_per_second, base = 1e30;
    for (uint32_t n = 0; n < options.until; n++)
        if (r->arrivals[n] && r->arrivals[n] - n * step < base) base = r->arrivals[n] - n * step;
    for (uint32_t n = 0; n < options.until; n++)
        if (r->arrivals[n]) note_latency((r->arrivals[n] - n * step - base) / 1e3);
}

static void report(double last_cpu) {
    uint32_t expected = options.until ? options.until : final_number;
    uint64_t unfinished = 0;
    for (int i = 0; i < options.readers; i++) {
        if (readers[i].last < expected) unfinished++, totals.missing += expected - readers[i].last;
        if (options.tokens_per_second > 0 && readers[i].arrivals && !totals.stamped) note_lateness(&readers[i]);
    }
    double wall = totals.first ? (totals.last - totals.first) / 1e9 : 0;
    printf("{\"event\":\"result\",\"readers\":%d,\"opened\":%d,\"refused\":%lu,\"dropped\":%lu,\"unfinished\":%lu,\"deliveries\":%lu,\"frames\":%lu,"
           "\"bytes\":%lu,\"missing\":%lu,\"doubled\":%lu,\"reversed\":%lu,\"started_ns\":%ld,\"first_ns\":%ld,\"last_ns\":%ld,\"wall_s\":%.6f,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"stamped\":%s,\"cpu_s\":%.6f,\"open_s\":%.6f}\n",
           options.readers, open_count, totals.refused, totals.dropped, unfinished, totals.deliveries, totals.frames, totals.bytes, totals.missing,
           totals.doubled, totals.reversed, totals.started, totals.first, totals.last, wall, latency_at(0.5), latency_at(0.99), totals.latency_max,
           totals.stamped ? "true" : "false", totals.first ? last_cpu - totals.first_cpu : cpu_seconds(), (totals.opened - totals.started) / 1e9);
}

static bool take_command(void) {
    static char line[256];
    ssize_t length = read(0, line, sizeof line - 1);
    if (length <= 0) return false;
    line[length] = 0;
    if (sscanf(line, "last %u", &final_number) == 1) final_known = true;
    return true;
}

static bool finished(int64_t now) {
    uint32_t wanted = options.until ? options.until : final_known ? final_number : 0;
    if (next_to_open == options.readers && !living) return true;
    if (wanted && next_to_open == options.readers && !opening && passed_by_all >= wanted) return true;
    if (final_known && now - totals.last > 2000000000LL && now - totals.started > 2000000000LL) return true;
    return now - totals.started > options.seconds * 1e9;
}

static void run(void) {
    struct epoll_event events[1024], commands = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    bool told = false;
    double last_cpu = 0;
    uint64_t deliveries = 0;
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &commands);
    totals.started = now_ns();
    for (;;) {
        while (next_to_open < options.readers && opening < options.opening) open_reader(&readers[next_to_open], next_to_open), next_to_open++;
        int ready = epoll_wait(poller, events, 1024, 20);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u32 != UINT32_MAX) take_input(&readers[events[i].data.u32], events[i].data.u32);
            else if (!take_command()) return report(last_cpu ? last_cpu : cpu_seconds());
        }
        acknowledge();
        if (totals.deliveries != deliveries) deliveries = totals.deliveries, last_cpu = cpu_seconds();
        if (!told && next_to_open == options.readers && !opening) {
            told = true;
            printf("{\"event\":\"opened\",\"opened\":%d,\"refused\":%lu,\"open_s\":%.6f}\n", open_count, totals.refused, (totals.opened - totals.started) / 1e9);
            fflush(stdout);
        }
        if (finished(now_ns())) return report(last_cpu ? last_cpu : cpu_seconds());
    }
}

static void read_paths(const char *name) {
    FILE *file = fopen(name, "r");
    char line[4096];
    if (!file) fail(name);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = 0;
        options.paths = realloc(options.paths, (options.path_count + 1) * sizeof *options.paths);
        options.paths[options.path_count++] = strdup(line);
    }
    fclose(file);
}

static void read_options(int count, char **words) {
    for (int i = 1; i < count; i++) {
        const char *name = words[i];
        if (!strcmp(name, "--websocket")) {
            options.websocket = true;
            continue;
        }
        const char *value = i + 1 < count ? words[++i] : "";
        if (!strcmp(name, "--port")) options.port = atoi(value);
        else if (!strcmp(name, "--readers")) options.readers = atoi(value);
        else if (!strcmp(name, "--opening")) options.opening = atoi(value);
        else if (!strcmp(name, "--acks")) options.acks = atoi(value);
        else if (!strcmp(name, "--path")) options.path = value;
        else if (!strcmp(name, "--paths")) read_paths(value);
        else if (!strcmp(name, "--ids")) ids = fopen(value, "w");
        else if (!strcmp(name, "--body")) options.body = value;
        else if (!strcmp(name, "--until")) options.until = (uint32_t)atol(value);
        else if (!strcmp(name, "--tokens")) options.tokens_per_second = atof(value);
        else if (!strcmp(name, "--seconds")) options.seconds = atof(value);
        else if (!strcmp(name, "--header")) strncat(strncat(options.headers, value, 4000), "\r\n", 3);
        else {
            fprintf(stderr, "reader: unknown option %s\n", name);
            exit(2);
        }
    }
}

int main(int count, char **words) {
    struct rlimit files;
    read_options(count, words);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    readers = calloc(options.readers, sizeof *readers);
    living = options.readers;
    poller = epoll_create1(0);
    if (!readers || poller < 0) fail("start");
    run();
    return 0;
}
