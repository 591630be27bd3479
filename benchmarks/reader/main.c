/*
 * Many readers of event streams in one process: the load generator of the benchmarks.
 *
 * Every event that is published carries its number ("n", from 1) and the moment it was
 * published ("sent", CLOCK_MONOTONIC in ns). Each reader checks that numbers rise by one
 * and notes how old each event was when it came out of the socket.
 *
 *   reader --port P --readers N [--path PATH] [--paths FILE] [--header "K: V"]... [--body TEXT]
 *          [--websocket] [--frames FILE] [--again] [--tokens PER_SECOND] [--until N] [--opening N] [--seconds S] [--acks FD] [--ids FILE]
 *
 * It prints a line of JSON when all readers are open, and one at the end. On standard input
 * it takes "last N" (no event after N will come) and ends at the end of its input.
 * With --acks it writes, as a 32-bit number, the last event that ALL readers have passed, and
 * 0xffffffff when nobody has received anything for 300 ms: what is under way is taken as lost.
 * With --ids it writes the message id that each answer names, a line each; with --paths,
 * reader i asks for line i of that file.
 * --port may be a list, P,Q,...: reader i begins at port i modulo their number. With --frames reader i sends line i of that
 * file when its WebSocket is open, and counts as open when "subscribed" has come. With --again a reader that is cut off comes
 * back, at the next port, with the cursor that it had (reconnecting.c); a line of JSON says when all are back.
 * With --tokens an event is one word "wK" or "wK@SENT" of an answer, however many a frame
 * holds; without SENT a word's age is its lateness against the even schedule.
 */
#include "reader.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_ROOM (512 * 1024)
#define PATIENCE_NS (options.again ? 10000000000LL : 2000000000LL) /* a server that takes readers back is late with others */

struct options options = {.opening = 64, .acks = -1, .path = "/", .headers = "", .seconds = 600};
static int poller, next_to_open;
static char input[READ_ROOM];
static int64_t final_since;

/* ---- connections ------------------------------------------------------------------------ */

static void close_reader(struct reader *r) {
    if (r->stage == CLOSED) return;
    bool has_all = options.until && r->last >= options.until;
    if (!r->opened) opening--, totals.refused++;
    if (r->opened && !has_all) totals.dropped++;
    close(r->fd);
    r->stage = CLOSED;
    if (options.again && !has_all) {
        lose(r, now_ns());
        return;
    }
    let_go(r);
}

static void open_reader(struct reader *r, int index) {
    int port = options.ports[r->port % options.port_count];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = index};
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (r->fd < 0) fail("socket");
    if (options.tokens_per_second > 0 && !r->arrivals) r->arrivals = calloc(options.until, sizeof *r->arrivals);
    opening++;
    r->stage = CONNECTING;
    if (connect(r->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS && errno != ECONNREFUSED) fail("connect");
    if (epoll_ctl(poller, EPOLL_CTL_ADD, r->fd, &event) < 0) fail("epoll_ctl");
}

static bool send_request(struct reader *r, int index) {
    static char request[1 << 16];
    const char *path = path_again(r, options.path_count ? options.paths[index % options.path_count] : options.path);
    bool posts = options.body && !*r->message;
    int length = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s", posts ? "POST" : "GET", path, options.headers);
    length += cursor_header(r, request + length, sizeof request - length);
    if (options.websocket)
        length += snprintf(request + length, sizeof request - length, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    else if (posts)
        length += snprintf(request + length, sizeof request - length, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(options.body), options.body);
    else
        length += snprintf(request + length, sizeof request - length, "Accept: text/event-stream\r\n\r\n");
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    epoll_ctl(poller, EPOLL_CTL_MOD, r->fd, &event);
    r->stage = HEAD;
    return write(r->fd, request, length) == length;
}

/* One masked text frame; a mask of zeros is a mask. */
static bool send_frame(struct reader *r, const char *text) {
    static unsigned char frame[1 << 16];
    size_t length = strlen(text), head = length < 126 ? 2 : 4;
    if (head + 4 + length > sizeof frame) return false;
    frame[0] = 0x81;
    frame[1] = 0x80 | (length < 126 ? length : 126);
    frame[2] = length >> 8, frame[3] = length & 255; /* overwritten when it is short */
    memset(frame + head, 0, 4);
    memcpy(frame + head + 4, text, length);
    return write(r->fd, frame, head + 4 + length) == (ssize_t)(head + 4 + length);
}

static bool take_head(struct reader *r, const char *bytes, size_t length) {
    keep(r, bytes, length);
    char *end = strstr(r->carry, "\r\n\r\n");
    if (!end) return true;
    const char *wanted = options.websocket ? "HTTP/1.1 101" : "HTTP/1.1 200";
    if (strncmp(r->carry, wanted, strlen(wanted)) != 0) {
        if (totals.refused < 3) fprintf(stderr, "refused: %.600s\n", r->carry);
        return false;
    }
    *end = 0;
    r->framing = options.websocket ? WEBSOCKET : strcasestr(r->carry, "\r\ntransfer-encoding: chunked") ? CHUNKED : PLAIN;
    r->stage = OPEN;
    if (options.frame_count && !send_frame(r, options.frames[(r - readers) % options.frame_count])) return false;
    if (options.websocket && !options.frame_count) mark_open(r);
    size_t head = end + 4 - r->carry, rest = r->carry_length - head;
    char *body = malloc(rest + 1);
    memcpy(body, r->carry + head, rest);
    body[rest] = 0;
    r->carry_length = 0;
    bool alive = take_body(r, body, rest); /* may keep the end of it */
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

static bool take_command(void) {
    static char line[256];
    ssize_t length = read(0, line, sizeof line - 1);
    if (length <= 0) return false;
    line[length] = 0;
    if (sscanf(line, "last %u", &final_number) == 1) final_since = now_ns(), final_known = true;
    return true;
}

static bool finished(int64_t now) {
    uint32_t wanted = options.until ? options.until : final_known ? final_number : 0;
    if (next_to_open == options.readers && !living) return true;
    if (wanted && next_to_open == options.readers && !opening && passed_by_all >= wanted) return true;
    /* What has not come in a while after the last was published is taken as lost; but who is away has it still to come. */
    int64_t quiet_since = totals.last > final_since ? totals.last : final_since;
    if (final_known && !away() && now - quiet_since > PATIENCE_NS) return true;
    return now - totals.started > options.seconds * 1e9;
}

static void run(void) {
    struct epoll_event events[1024], commands = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    bool told = false;
    uint64_t deliveries = 0;
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &commands);
    totals.started = now_ns();
    for (;;) {
        while (next_to_open < options.readers && opening < options.opening) {
            readers[next_to_open].port = next_to_open;
            open_reader(&readers[next_to_open], next_to_open), next_to_open++;
        }
        for (int back; opening < options.opening && (back = next_to_reopen(now_ns())) >= 0;) open_reader(&readers[back], back);
        int ready = epoll_wait(poller, events, 1024, 20);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u32 != UINT32_MAX) take_input(&readers[events[i].data.u32], events[i].data.u32);
            else if (!take_command()) return report();
        }
        acknowledge();
        if (totals.deliveries != deliveries) deliveries = totals.deliveries, totals.last_cpu = cpu_seconds();
        if (!told && next_to_open == options.readers && !opening) {
            told = true;
            printf("{\"event\":\"opened\",\"opened\":%d,\"refused\":%lu,\"open_s\":%.6f}\n", open_count, totals.refused, (totals.opened - totals.started) / 1e9);
            fflush(stdout);
        }
        if (finished(now_ns())) return report();
    }
}

static void read_lines(const char *name, char ***lines, int *count) {
    FILE *file = fopen(name, "r");
    char line[4096];
    if (!file) fail(name);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = 0;
        *lines = realloc(*lines, (*count + 1) * sizeof **lines);
        (*lines)[(*count)++] = strdup(line);
    }
    fclose(file);
}

static void read_ports(const char *text) {
    for (; *text && options.port_count < 8; text += *text == ',') {
        char *rest;
        options.ports[options.port_count++] = (int)strtol(text, &rest, 10);
        text = rest;
    }
}

static void read_options(int count, char **words) {
    for (int i = 1; i < count; i++) {
        const char *name = words[i];
        if (!strcmp(name, "--websocket")) {
            options.websocket = true;
            continue;
        }
        if (!strcmp(name, "--again")) {
            options.again = true;
            continue;
        }
        const char *value = i + 1 < count ? words[++i] : "";
        if (!strcmp(name, "--port")) read_ports(value);
        else if (!strcmp(name, "--readers")) options.readers = atoi(value);
        else if (!strcmp(name, "--opening")) options.opening = atoi(value);
        else if (!strcmp(name, "--acks")) options.acks = atoi(value);
        else if (!strcmp(name, "--path")) options.path = value;
        else if (!strcmp(name, "--paths")) read_lines(value, &options.paths, &options.path_count);
        else if (!strcmp(name, "--frames")) read_lines(value, &options.frames, &options.frame_count);
        else if (!strcmp(name, "--ids")) options.ids = fopen(value, "w");
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
    signal(SIGPIPE, SIG_IGN); /* a server that is gone is seen when writing, too */
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
