/* The legacy shop of the overload bench: so many slots, an unbounded queue before them, and no way
 * to stop work that has begun or waits. Serving takes a timer, no processor time.
 *
 *   shop PORT SLOTS MILLISECONDS
 *
 * listens on 127.0.0.1:PORT (0: any that is free), tells `port=N` and answers every GET with 200.
 * A request holds its slot for
 *
 *   MILLISECONDS x slow x (1 + 0.25 w / (w + 100)) x (0.9 .. 1.1, evenly)
 *
 * where w is how many wait when it begins: a full waiting room costs memory, locks and caches, here
 * up to a fifth of the capacity. A client that leaves is noticed, and its request served all the
 * same: a thread that computes a page does not look at its socket.
 *
 * Lines on standard input: `slots N` (those that run are finished), `slow X`, `counts` (tells a
 * line of them, see tell_counts). The end of the input ends the shop.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_BYTES = 2048, BODY_BYTES = 1000, MOST_SLOTS = 4096, EVENTS = 256 };

struct job;

struct client {
    int fd;
    size_t filled;
    struct job *job; /* its request, waiting or in a slot; one at a time */
    struct client *next_gone;
    char head[HEAD_BYTES];
};

struct job {
    struct client *client; /* NULL: has left */
    struct job *next;
};

struct slot {
    double due;
    struct job *job;
};

static int epoll;
static double slow = 1.0, service;
static int slots, busy;
static struct slot running[MOST_SLOTS];
static struct job *first_waiting, **last_waiting = &first_waiting;
static long waiting, most_waiting, served, wasted, accepted;
static double lateness; /* seconds that answers went out after their time, all together */
static struct client *gone; /* freed after the round: events may still point at them */
static char answer[BODY_BYTES + 256];
static size_t answer_bytes;
static unsigned long random_state = 88172645463325252UL;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static double uniform(void) { /* xorshift64, Marsaglia 2003 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void begin(struct job *job, double at) {
    double w = (double)waiting;
    double crowded = 1.0 + 0.25 * w / (w + 100.0);
    running[busy].due = at + service * slow * crowded * (0.9 + 0.2 * uniform());
    running[busy++].job = job;
}

static void begin_waiting(double at) {
    while (first_waiting && busy < slots) {
        struct job *job = first_waiting;
        first_waiting = job->next;
        if (!first_waiting)
            last_waiting = &first_waiting;
        waiting--;
        begin(job, at);
    }
}

static void leave(struct client *client) {
    close(client->fd);
    client->fd = -1;
    if (client->job)
        client->job->client = NULL;
    client->next_gone = gone;
    gone = client;
}

/* Takes a request when the head is whole and none is under way. */
static void take(struct client *client, double at) {
    char *end = memmem(client->head, client->filled, "\r\n\r\n", 4);
    if (client->job)
        return;
    if (!end) {
        if (client->filled == HEAD_BYTES)
            leave(client);
        return;
    }
    size_t used = (size_t)(end + 4 - client->head);
    memmove(client->head, end + 4, client->filled -= used);
    struct job *job = client->job = malloc(sizeof *job);
    if (!job)
        fail("shop: memory");
    *job = (struct job){client, NULL};
    if (busy < slots) {
        begin(job, at);
        return;
    }
    *last_waiting = job;
    last_waiting = &job->next;
    if (++waiting > most_waiting)
        most_waiting = waiting;
}

static void finish(int number, double at) {
    struct slot slot = running[number];
    struct client *client = slot.job->client;
    running[number] = running[--busy];
    free(slot.job);
    lateness += at - slot.due;
    if (client) {
        client->job = NULL;
        if (send(client->fd, answer, answer_bytes, MSG_NOSIGNAL) == (ssize_t)answer_bytes) {
            served++;
            take(client, at);
        } else {
            wasted++;
            leave(client);
        }
    } else {
        wasted++;
    }
    begin_waiting(slot.due); /* who waited began when the slot was free, not when we woke up */
}

static double serve_due(void) {
    for (;;) {
        int next = -1;
        for (int i = 0; i < busy; i++)
            if (next < 0 || running[i].due < running[next].due)
                next = i;
        if (next < 0)
            return -1.0;
        double at = now();
        if (running[next].due > at)
            return running[next].due - at;
        finish(next, at);
    }
}

static void hear(struct client *client, unsigned events) {
    if (client->fd < 0)
        return;
    size_t room = HEAD_BYTES - client->filled;
    ssize_t count = room ? recv(client->fd, client->head + client->filled, room, 0) : 0;
    if (count > 0) {
        client->filled += (size_t)count;
        take(client, now());
        if (client->fd >= 0 && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
            leave(client);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        leave(client);
    }
}

static void greet(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR || errno == EMFILE)
                return;
            fail("shop: accept");
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct client *client = malloc(sizeof *client);
        if (!client)
            fail("shop: memory");
        client->fd = fd;
        client->filled = 0;
        client->job = NULL;
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = client};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
            fail("shop: epoll");
        accepted++;
    }
}

static void tell_counts(void) {
    printf("served=%ld wasted=%ld waiting=%ld most_waiting=%ld busy=%d accepted=%ld late_us=%.0f\n",
           served, wasted, waiting, most_waiting, busy, accepted, lateness * 1e6);
    fflush(stdout);
}

static void obey(void) {
    static char line[256];
    static size_t filled;
    ssize_t count = read(STDIN_FILENO, line + filled, sizeof line - 1 - filled);
    if (count <= 0)
        exit(0);
    line[filled += (size_t)count] = 0;
    char *end;
    while ((end = strchr(line, '\n'))) {
        *end = 0;
        int number;
        double factor;
        if (sscanf(line, "slots %d", &number) == 1 && number > 0 && number <= MOST_SLOTS)
            slots = number;
        else if (sscanf(line, "slow %lf", &factor) == 1 && factor > 0.0)
            slow = factor;
        else if (!strcmp(line, "counts"))
            tell_counts();
        else
            fprintf(stderr, "shop: what is %s?\n", line), exit(2);
        memmove(line, end + 1, strlen(end + 1) + 1);
    }
    filled = strlen(line);
    begin_waiting(now());
}

static int listen_on(int port) {
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        fail("shop: listen");
    printf("port=%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int count, char **arguments) {
    if (count != 4)
        return fprintf(stderr, "shop PORT SLOTS MILLISECONDS\n"), 2;
    slots = atoi(arguments[2]);
    service = atof(arguments[3]) / 1000.0;
    if (slots < 1 || slots > MOST_SLOTS || service <= 0.0)
        return fprintf(stderr, "shop: 1 to %d slots, more than 0 ms\n", MOST_SLOTS), 2;
    struct rlimit descriptors;
    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
    prctl(PR_SET_TIMERSLACK, 1UL);
    answer_bytes = (size_t)snprintf(answer, sizeof answer,
                                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
                                    "Content-Length: %d\r\n\r\n", BODY_BYTES);
    memset(answer + answer_bytes, 'x', BODY_BYTES);
    answer_bytes += BODY_BYTES;

    epoll = epoll_create1(0);
    int listener = listen_on(atoi(arguments[1]));
    struct epoll_event of_listener = {.events = EPOLLIN, .data.ptr = &listener};
    struct epoll_event of_input = {.events = EPOLLIN, .data.ptr = &slots};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &of_listener) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &of_input))
        fail("shop: epoll");
    for (;;) {
        double rest = serve_due();
        struct timespec wait = {(time_t)rest, (long)((rest - (double)(time_t)rest) * 1e9)};
        struct epoll_event events[EVENTS];
        int happened = epoll_pwait2(epoll, events, EVENTS, rest < 0.0 ? NULL : &wait, NULL);
        if (happened < 0 && errno != EINTR)
            fail("shop: epoll");
        for (int i = 0; i < happened; i++) {
            if (events[i].data.ptr == &listener)
                greet(listener);
            else if (events[i].data.ptr == &slots)
                obey();
            else
                hear(events[i].data.ptr, events[i].events);
            if (i % 32 == 31)
                serve_due(); /* a crowd at the door does not hold up who is ready */
        }
        while (gone) {
            struct client *client = gone;
            gone = client->next_gone;
            free(client);
        }
    }
}
