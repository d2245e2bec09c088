// arrivals.c: an HTTP/1.1 server on loopback that answers at once and stamps when each request arrived.
// Usage: arrivals PORT LOGFILE
//
// At SIGTERM, LOGFILE gets a 64-bit count of requests, and a stamp for each (64-bit nanoseconds, CLOCK_MONOTONIC), in the
// order of arrival, as the machine writes them. Memory for the stamps is taken beforehand, so that the server itself does
// not hiccup while it runs.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 16384, REQUEST_BYTES = 4096, MOST_STAMPS = 20 * 1000 * 1000 };

struct connection {
  int have_bytes;
  char request[REQUEST_BYTES + 1];
};

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 33\r\n\r\n"
    "{\"risk_score\":0.42,\"tenant\":\"t1\"}";

static struct connection *connections[MAX_FD];
static int64_t *stamps;
static int64_t requests;
static volatile sig_atomic_t stopping;

static void stop(int signal) {
  (void)signal;
  stopping = 1;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void accept_all(int epoll, int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
    if (fd >= MAX_FD) {
      close(fd);
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!connections[fd] && !(connections[fd] = malloc(sizeof *connections[fd]))) die("malloc");
    connections[fd]->have_bytes = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
}

// Requests without a body, and no second one before the first is answered: all that the soak sends.
static void take_request(int fd, int64_t at_ns) {
  struct connection *c = connections[fd];
  ssize_t got = read(fd, c->request + c->have_bytes, REQUEST_BYTES - c->have_bytes);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    close(fd);
    return;
  }
  c->have_bytes += got;
  c->request[c->have_bytes] = 0;
  if (!strstr(c->request, "\r\n\r\n")) return;
  c->have_bytes = 0;
  if (requests < MOST_STAMPS) stamps[requests] = at_ns;
  requests++;
  if (write(fd, ANSWER, sizeof ANSWER - 1) != sizeof ANSWER - 1) close(fd);
}

static int listen_on(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) die("listen");
  return listener;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: arrivals PORT LOGFILE\n");
    return 2;
  }
  struct sigaction on_term = {.sa_handler = stop};
  sigaction(SIGTERM, &on_term, 0);
  signal(SIGPIPE, SIG_IGN);
  if (!(stamps = malloc(MOST_STAMPS * sizeof *stamps))) die("malloc");
  memset(stamps, 0, MOST_STAMPS * sizeof *stamps);
  int listener = listen_on(atoi(argv[1]));
  int epoll = epoll_create1(0);
  struct epoll_event events[256] = {{.events = EPOLLIN, .data.fd = listener}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, events);
  while (!stopping) {
    int count = epoll_wait(epoll, events, 256, -1);
    int64_t at_ns = now_ns();
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd == listener) accept_all(epoll, listener);
      else take_request(events[i].data.fd, at_ns);
    }
  }
  FILE *log = fopen(argv[2], "wb");
  if (!log) die(argv[2]);
  size_t kept = requests < MOST_STAMPS ? requests : MOST_STAMPS;
  if (fwrite(&requests, sizeof requests, 1, log) != 1 || fwrite(stamps, sizeof *stamps, kept, log) != kept) die(argv[2]);
  return fclose(log) ? 1 : 0;
}
