/* The customers of the overload bench: an open loop. They come when they come, whatever became of
 * those before them; each waits so long, leaves (closes the connection), and tries again at once.
 *
 *   load key=value ...
 *
 *   port=N                 of the proxy or shop, on 127.0.0.1
 *   records=FILE           what became of each attempt, written at the end (struct record)
 *   start=SECONDS          of the monotonic clock: when the first phase begins (now)
 *   phase=RATE,SECONDS     visits a second, for so long; several follow each other
 *   kind=WEIGHT,PATH       so many of all weights ask for PATH; several
 *   arrivals=poisson       or constant
 *   patience=SECONDS       an attempt is given up after these
 *   retries=N              after a refusal, a break or a loss of patience, at once
 *   seed=N
 *
 * Requests carry a browser's head of some 600 bytes, with another query and cookie for each visit.
 * Connections are kept alive; the one that was used longest ago goes first; when none is free a new
 * one is opened. Times count from the moment at which the request should have left, so whatever
 * holds this program up counts against whom it measures; `late` in the records says how much.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 1024,
    READ_BYTES = 65536,
    EVENTS = 128,
    AT_ONCE = 32, /* requests sent before answers are read again */
    MOST_KINDS = 16,
    MOST_PHASES = 16,
    SOURCES = 16, /* addresses to connect from: one has only 28,000 ports */
    LEFT = 0,
    BROKEN = 1,
    UNSENT = 2, /* no descriptor or port: this program's limit, not the proxy's */
};

struct record {          /* little-endian, 24 bytes; microseconds */
    uint64_t due;        /* when the visit should have begun, since `start` */
    uint32_t wait;       /* from when the attempt should have been made to its outcome */
    uint32_t total;      /* from `due` to its outcome */
    uint32_t late;       /* from when the attempt should have been made to its sending */
    uint16_t outcome;    /* the status, or LEFT, BROKEN, UNSENT */
    uint8_t kind;        /* index of `kind=` */
    uint8_t attempt;     /* 1, 2, 3; + 128 in the visit's last; UNSENT is always the last */
};

struct visit {
    double due, wanted, sent; /* of the visit; of this attempt; when it left */
    uint32_t number;
    uint8_t kind, attempt;
};

enum state { CONNECTING, IDLE, BUSY, CLOSED };

struct connection {
    struct connection *before, *after; /* in its list */
    int fd;
    enum state state;
    struct visit visit;
    size_t filled; /* of head */
    long body_left; /* -1: the head is not whole yet */
    int status, last; /* last: the peer closes after it */
    char head[HEAD_BYTES];
};

struct list {
    struct connection *first, *last;
};

struct kind {
    double up_to; /* of all weights, this one's and those before */
    char request[HEAD_BYTES];
    size_t bytes, query, cookie; /* where the visit's number goes, eight digits */
};

static int epoll, port, retries, constant;
static double patience = 1.0, start;
static struct { double rate, end; } phases[MOST_PHASES];
static struct kind kinds[MOST_KINDS];
static int phase_count, kind_count, phase;
static struct list idle, asking, closed; /* asking: longest first */
static struct record *records;
static size_t recorded, room;
static long opened, open_now, most_open;
static uint32_t visits;
static unsigned long random_state;

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static double uniform(void) { /* xorshift64, Marsaglia 2003; never 0 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return ((double)(random_state >> 11) + 1.0) / 9007199254740993.0;
}

static void append(struct list *list, struct connection *one) {
    one->before = list->last;
    one->after = NULL;
    *(list->last ? &list->last->after : &list->first) = one;
    list->last = one;
}

static void drop(struct list *list, struct connection *one) {
    *(one->before ? &one->before->after : &list->first) = one->after;
    *(one->after ? &one->after->before : &list->last) = one->before;
}

static void attempt(struct visit visit);

static uint32_t microseconds(double seconds) {
    return seconds <= 0.0 ? 0 : (uint32_t)(seconds * 1e6 + 0.5);
}

/* An attempt has come to its end: write it down, and try again if that is what people do. */
static void end_attempt(struct visit visit, int outcome, double at) {
    int again = (outcome < 200 || outcome >= 400) && visit.attempt <= retries;
    if (recorded == room)
        fail("more attempts than were reckoned with");
    records[recorded++] = (struct record){
        .due = (uint64_t)((visit.due - start) * 1e6),
        .wait = microseconds(at - visit.wanted),
        .total = microseconds(at - visit.due),
        .late = microseconds(visit.sent - visit.wanted),
        .outcome = (uint16_t)outcome,
        .kind = visit.kind,
        .attempt = (uint8_t)(visit.attempt + (again ? 0 : 128)),
    };
    if (again) {
        visit.attempt++;
        visit.wanted = at;
        attempt(visit);
    }
}

static void hang_up(struct connection *one) {
    drop(one->state == IDLE ? &idle : &asking, one);
    close(one->fd);
    open_now--;
    one->state = CLOSED;
    append(&closed, one);
}

static void break_off(struct connection *one, double at) {
    int had_visit = one->state != IDLE;
    struct visit visit = one->visit;
    hang_up(one);
    if (had_visit)
        end_attempt(visit, BROKEN, at);
}

static void send_request(struct connection *one) {
    struct kind *kind = &kinds[one->visit.kind];
    char number[9];
    snprintf(number, sizeof number, "%08x", one->visit.number);
    memcpy(kind->request + kind->query, number, 8);
    memcpy(kind->request + kind->cookie, number, 8);
    one->state = BUSY;
    one->filled = 0;
    one->body_left = -1;
    one->visit.sent = now();
    if (send(one->fd, kind->request, kind->bytes, MSG_NOSIGNAL) != (ssize_t)kind->bytes)
        break_off(one, now());
}

static struct connection *connect_anew(void) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return NULL;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(0x7f000101u + (uint32_t)(opened % SOURCES))};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((unsigned short)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) ||
        (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)) {
        close(fd);
        return NULL;
    }
    struct connection *one = malloc(sizeof *one);
    if (!one)
        fail("memory");
    *one = (struct connection){.fd = fd, .state = CONNECTING, .body_left = -1};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = one};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        fail("epoll");
    opened++;
    if (++open_now > most_open)
        most_open = open_now;
    return one;
}

static void attempt(struct visit visit) {
    struct connection *one = idle.first;
    visit.sent = visit.wanted;
    if (one) {
        drop(&idle, one);
    } else if (!(one = connect_anew())) {
        visit.attempt = (uint8_t)(retries + 1); /* at once again would be in vain */
        end_attempt(visit, UNSENT, now());
        return;
    }
    one->visit = visit;
    append(&asking, one);
    if (one->state == IDLE)
        send_request(one);
}

/* The head is whole: what it says of the body. */
static int read_head(struct connection *one, char *end) {
    *end = 0;
    if (sscanf(one->head, "HTTP/1.%*d %d", &one->status) != 1 || one->status < 200)
        return 0;
    char *length = strcasestr(one->head, "\r\ncontent-length:");
    one->body_left = length ? strtol(length + 17, NULL, 10) : -1;
    one->last = strcasestr(one->head, "\r\nconnection: close") != NULL;
    return one->body_left >= 0;
}

/* All answers here have a length; one that has not, or says more than it should, is broken. */
static void hear(struct connection *one) {
    static char piece[READ_BYTES];
    ssize_t count = recv(one->fd, piece, sizeof piece, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    double at = now();
    if (count <= 0 || one->state != BUSY) {
        break_off(one, at);
        return;
    }
    long body = count;
    if (one->body_left < 0) {
        size_t fits = HEAD_BYTES - 1 - one->filled;
        size_t taken = (size_t)count < fits ? (size_t)count : fits;
        memcpy(one->head + one->filled, piece, taken);
        char *end = memmem(one->head, one->filled + taken, "\r\n\r\n", 4);
        if (!end) {
            one->filled += taken;
            if (taken == fits)
                break_off(one, at);
            return;
        }
        body = count - (end + 4 - (one->head + one->filled));
        if (!read_head(one, end)) {
            break_off(one, at);
            return;
        }
    }
    one->body_left -= body;
    if (one->body_left > 0)
        return;
    struct visit visit = one->visit;
    int status = one->status;
    if (one->last || one->body_left < 0) {
        hang_up(one);
    } else {
        drop(&asking, one);
        one->state = IDLE;
        append(&idle, one);
    }
    end_attempt(visit, status, at);
}

static void happened(struct connection *one, unsigned events) {
    if (one->state == CLOSED)
        return;
    if (one->state == CONNECTING) {
        if (events & (EPOLLERR | EPOLLHUP))
            break_off(one, now());
        else if (events & EPOLLOUT)
            send_request(one);
        return;
    }
    if (events & EPOLLIN)
        hear(one);
    /* An answer and the end may come together. */
    if (one->state != CLOSED && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
        while (one->state == BUSY)
            hear(one);
        if (one->state != CLOSED)
            break_off(one, now());
    }
}

static void lose_patience(double at) {
    /* A few at a time: thousands who leave together must not hold up those who come. */
    for (int lost = 0; lost < AT_ONCE; lost++) {
        if (!asking.first || asking.first->visit.wanted + patience > at)
            return;
        struct visit visit = asking.first->visit;
        hang_up(asking.first);
        end_attempt(visit, LEFT, at);
    }
}

/* When the next one comes after the one of `due`; nobody after the last phase: 0. */
static double next_visit(double due) {
    while (phase < phase_count) {
        double rate = phases[phase].rate;
        double next = due + (constant ? 1.0 : -log(uniform())) / rate;
        if (next <= phases[phase].end)
            return next;
        due = phases[phase++].end; /* Poisson arrivals have no memory: begin anew */
    }
    return 0.0;
}

static double let_in(double due) {
    double at = now();
    for (int sent = 0; due > 0.0 && due <= at && sent < AT_ONCE; sent++) {
        struct visit visit = {.due = due, .wanted = due, .number = visits++, .attempt = 1};
        double drawn = uniform() * kinds[kind_count - 1].up_to;
        while (visit.kind < kind_count - 1 && kinds[visit.kind].up_to < drawn)
            visit.kind++;
        attempt(visit);
        due = next_visit(due);
    }
    return due;
}

static double sooner(double one, double other) {
    return one <= 0.0 || (other > 0.0 && other < one) ? other : one;
}

static void run(void) {
    double due = next_visit(start);
    while (due > 0.0 || asking.first) {
        double wake = sooner(due, asking.first ? asking.first->visit.wanted + patience : 0.0);
        double rest = wake - now();
        if (rest < 0.0)
            rest = 0.0;
        struct timespec wait = {(time_t)rest, (long)((rest - (double)(time_t)rest) * 1e9)};
        struct epoll_event events[EVENTS];
        int count = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);
        if (count < 0 && errno != EINTR)
            fail("epoll");
        for (int i = 0; i < count; i++) {
            happened(events[i].data.ptr, events[i].events);
            if (i % AT_ONCE == AT_ONCE - 1)
                due = let_in(due);
        }
        due = let_in(due);
        lose_patience(now());
        while (closed.first) { /* no event points at them any more */
            struct connection *one = closed.first;
            drop(&closed, one);
            free(one);
        }
    }
}

static void add_kind(const char *value) {
    char path[256];
    double weight;
    struct kind *kind = &kinds[kind_count];
    if (kind_count == MOST_KINDS || sscanf(value, "%lf,%255s", &weight, path) != 2)
        fail("kind=WEIGHT,PATH");
    kind->up_to = weight + (kind_count ? kinds[kind_count - 1].up_to : 0.0);
    kind->bytes = (size_t)snprintf(
        kind->request, HEAD_BYTES,
        "GET %s?n=00000000 HTTP/1.1\r\nHost: shop.example:8080\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/126.0.0.0 Safari/537.36\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
        "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9,zh-CN;q=0.8\r\n"
        "Referer: http://shop.example:8080/sale\r\nCookie: sid=00000000; theme=dark; basket=3\r\n"
        "Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n"
        "Upgrade-Insecure-Requests: 1\r\n\r\n", path);
    kind->query = (size_t)(strstr(kind->request, "?n=") + 3 - kind->request);
    kind->cookie = (size_t)(strstr(kind->request, "sid=") + 4 - kind->request);
    kind_count++;
}

static void add_phase(const char *value) {
    double rate, seconds, before = phase_count ? phases[phase_count - 1].end : 0.0;
    if (phase_count == MOST_PHASES || sscanf(value, "%lf,%lf", &rate, &seconds) != 2 || rate <= 0.0)
        fail("phase=RATE,SECONDS");
    phases[phase_count].rate = rate;
    phases[phase_count++].end = before + seconds;
    room += (size_t)(1.2 * rate * seconds) + 1000;
}

int main(int count, char **arguments) {
    const char *file = NULL;
    random_state = 1;
    start = now();
    for (int i = 1; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        if (!value)
            fail(arguments[i]);
        *value++ = 0;
        const char *key = arguments[i];
        if (!strcmp(key, "port"))
            port = atoi(value);
        else if (!strcmp(key, "records"))
            file = value;
        else if (!strcmp(key, "start"))
            start = atof(value);
        else if (!strcmp(key, "phase"))
            add_phase(value);
        else if (!strcmp(key, "kind"))
            add_kind(value);
        else if (!strcmp(key, "arrivals"))
            constant = !strcmp(value, "constant");
        else if (!strcmp(key, "patience"))
            patience = atof(value);
        else if (!strcmp(key, "retries"))
            retries = atoi(value);
        else if (!strcmp(key, "seed"))
            random_state = strtoul(value, NULL, 10) * 0x9e3779b97f4a7c15UL | 1;
        else
            fail(key);
    }
    if (!port || !file || !phase_count || !kind_count)
        fail("port, records, phase and kind are needed");
    for (int i = 0; i < phase_count; i++)
        phases[i].end += start;
    room *= (size_t)retries + 1;
    records = malloc(room * sizeof *records);
    FILE *out = fopen(file, "wb");
    if (!records || !out)
        fail(file);
    struct rlimit descriptors;
    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
    prctl(PR_SET_TIMERSLACK, 1UL);
    epoll = epoll_create1(0);
    run();
    if (fwrite(records, sizeof *records, recorded, out) != recorded || fclose(out))
        fail(file);
    printf("opened=%ld most_open=%ld\n", opened, most_open);
    return 0;
}
