// arrivals.c: an HTTP/1.1 server on loopback that answers at once and stamps when each request arrived.
// Usage: arrivals PORT LOGFILE
//
// At SIGTERM, LOGFILE gets a 64-bit count of requests, and a stamp for each (64-bit nanoseconds, CLOCK_MONOTONIC), in the
// order of arrival, as the machine writes them. Memory for the stamps is taken beforehand, so that the server itself does
// not hiccup while it runs.
#include "server.h"

enum { MOST_STAMPS = 20 * 1000 * 1000 };

static int64_t *stamps;
static int64_t requests;

static void take_request(int fd, int64_t at_ns) {
  if (!read_request(fd)) return;
  if (requests < MOST_STAMPS) stamps[requests] = at_ns;
  requests++;
  if (!answer(fd)) close(fd);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: arrivals PORT LOGFILE\n");
    return 2;
  }
  stop_at_sigterm();
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
