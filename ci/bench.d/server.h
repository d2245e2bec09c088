// What the benchmarks' own HTTP/1.1 servers have in common: requests without a body, and no second one on a connection before
// the first is answered, which is all that is sent to them.
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

enum { MAX_FD = 16384, REQUEST_BYTES = 4096 };

struct connection {
  uint32_t generation;  // counts the connections this descriptor has been, so that no answer goes to a later one
  int have_bytes;
  char request[REQUEST_BYTES + 1];
};

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 33\r\n\r\n"
    "{\"risk_score\":0.42,\"tenant\":\"t1\"}";

static struct connection connections[MAX_FD];
static volatile sig_atomic_t stopping;

static void stop(int signal) {
  (void)signal;
  stopping = 1;
}

static void stop_at_sigterm(void) {
  struct sigaction on_term = {.sa_handler = stop};
  sigaction(SIGTERM, &on_term, 0);
  signal(SIGPIPE, SIG_IGN);
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

static int listen_on(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) die("listen");
  return listener;
}

static void accept_all(int epoll, int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
    if (fd >= MAX_FD) {
      close(fd);
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connections[fd].generation++;
    connections[fd].have_bytes = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
}

// Reads what is there; whether a request is whole with it.
static int read_request(int fd) {
  struct connection *c = &connections[fd];
  ssize_t got = read(fd, c->request + c->have_bytes, REQUEST_BYTES - c->have_bytes);
  if (got < 0 && errno == EAGAIN) return 0;
  if (got <= 0) {
    c->generation++;
    close(fd);
    return 0;
  }
  c->have_bytes += got;
  c->request[c->have_bytes] = 0;
  if (!strstr(c->request, "\r\n\r\n")) return 0;
  c->have_bytes = 0;
  return 1;
}

static int answer(int fd) { return write(fd, ANSWER, sizeof ANSWER - 1) == sizeof ANSWER - 1; }
