/* What came, how late, and whether every number came once: the figures of the load generator. */
#include "reader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define QUIET_NS 300000000LL

struct totals totals;
struct reader *readers;
int opening, open_count, living;
uint32_t passed_by_all, final_number;
bool final_known;
static uint32_t *reached, reached_room; /* by number: how many living readers are past it */

void fail(const char *what) {
    perror(what);
    exit(1);
}

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

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

/* Deliveries while all readers were under way: without the time in which they begin and end. */
static void note_steady(struct reader *r, uint32_t n, int64_t now) {
    if (!r->last && ++totals.begun == options.readers) totals.steady_from = now;
    if (!totals.steady_from || totals.steady_to) return;
    totals.steady_deliveries++;
    if (options.until && n >= options.until) totals.steady_to = now;
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
void deliver(struct reader *r, uint32_t n, int64_t sent, int64_t now) {
    if (!totals.first) {
        totals.first = now;
        totals.first_cpu = cpu_seconds();
    }
    totals.last = now;
    note_steady(r, n, now);
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

/* A reader that is gone no longer holds the others up. */
void let_go(struct reader *r) {
    living--;
    for (uint32_t n = passed_by_all + 1; n <= r->last; n++) reached[n]--;
}

static void tell(uint32_t number) {
    if (options.acks >= 0 && write(options.acks, &number, sizeof number) < 0) options.acks = -1;
}

void acknowledge(void) {
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

/* Lateness against the even schedule: the earliest word of a reader, less its number's time, is taken as on time. */
static void note_lateness(struct reader *r) {
    double step = 1e9 / options.tokens_per_second, base = 1e30;
    for (uint32_t n = 0; n < options.until; n++)
        if (r->arrivals[n] && r->arrivals[n] - n * step < base) base = r->arrivals[n] - n * step;
    for (uint32_t n = 0; n < options.until; n++)
        if (r->arrivals[n]) note_latency((r->arrivals[n] - n * step - base) / 1e3);
}

void report(void) {
    uint32_t expected = options.until ? options.until : final_number;
    uint64_t unfinished = 0;
    for (int i = 0; i < options.readers; i++) {
        if (readers[i].last < expected) unfinished++, totals.missing += expected - readers[i].last;
        if (options.tokens_per_second > 0 && readers[i].arrivals && !totals.stamped) note_lateness(&readers[i]);
    }
    double wall = totals.first ? (totals.last - totals.first) / 1e9 : 0;
    double steady = totals.steady_to > totals.steady_from ? (totals.steady_to - totals.steady_from) / 1e9 : 0;
    printf("{\"event\":\"result\",\"steady_s\":%.6f,\"steady_per_second\":%.1f,\"begun_s\":%.6f,\"readers\":%d,\"opened\":%d,\"refused\":%lu,\"dropped\":%lu,\"unfinished\":%lu,\"deliveries\":%lu,\"frames\":%lu,"
           "\"bytes\":%lu,\"missing\":%lu,\"doubled\":%lu,\"reversed\":%lu,\"started_ns\":%ld,\"first_ns\":%ld,\"last_ns\":%ld,\"wall_s\":%.6f,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"stamped\":%s,\"cpu_s\":%.6f,\"open_s\":%.6f}\n",
           steady, steady > 0 ? totals.steady_deliveries / steady : 0, totals.steady_from ? (totals.steady_from - totals.started) / 1e9 : 0, options.readers, open_count, totals.refused, totals.dropped, unfinished, totals.deliveries, totals.frames, totals.bytes, totals.missing,
           totals.doubled, totals.reversed, totals.started, totals.first, totals.last, wall, latency_at(0.5), latency_at(0.99), totals.latency_max,
           totals.stamped ? "true" : "false", totals.first ? totals.last_cpu - totals.first_cpu : cpu_seconds(), (totals.opened - totals.started) / 1e9);
}
