// known.c: an HTTP/1.1 server on loopback that logs how long it really took, to hold a load generator's service times
// against. Usage: known PORT LOGFILE
//
// The service time of each request comes from a fixed log-normal table (median 2 ms, sigma 0.5). Requests do not queue:
// any number of them can be in service at once, each with its own due instant. At SIGTERM, LOGFILE gets one line an
// answer, in the order of the answers: the nanoseconds from reading the request to having written the answer.
//
// It never sleeps: on an idle core, being woken takes tens of microseconds (on a virtual machine more), and those
// before the read would be missing from the log and look like the client's error.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
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

enum { TABLE_LEN = 10000, MAX_FD = 16384, MAX_DUE = 65536, REQUEST_BYTES = 2048 };

struct connection {
  uint32_t generation;  // counts the connections this descriptor has been, so that no answer goes to a later one
  int have_bytes;
  char request[REQUEST_BYTES + 1];
};

struct due {
  int64_t due_ns, read_ns;
  int fd;
  uint32_t generation;
};

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 33\r\n\r\n"
    "{\"risk_score\":0.42,\"tenant\":\"t1\"}";

static int64_t service_ns[TABLE_LEN];
static struct connection connections[MAX_FD];
static struct due heap[MAX_DUE];  // a binary heap, the earliest due instant at the top
static int heap_len;
static int64_t *delivered_ns;
static size_t delivered_len, delivered_cap;
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

static double inverse_normal(double p) {
  double low = -10, high = 10;
  for (int i = 0; i < 60; i++) {
    double middle = (low + high) / 2;
    if (0.5 * erfc(-middle / sqrt(2)) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

static uint64_t next_random(void) {  // splitmix64: the same sequence on every machine
  static uint64_t state = 42;
  uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

// Stratified, then shuffled: one pass over the table has exactly the distribution's quantiles, in no order.
static void fill_table(void) {
  for (int i = 0; i < TABLE_LEN; i++) service_ns[i] = 2e6 * exp(0.5 * inverse_normal((i + 0.5) / TABLE_LEN));
  for (int i = TABLE_LEN - 1; i > 0; i--) {
    int j = next_random() % (i + 1);
    int64_t swapped = service_ns[i];
    service_ns[i] = service_ns[j];
    service_ns[j] = swapped;
  }
}

static void push(struct due added) {
  if (heap_len == MAX_DUE) {
    fprintf(stderr, "known: %d requests in service at once\n", MAX_DUE);
    exit(1);
  }
  int i = heap_len++;
  for (int parent; i > 0 && heap[parent = (i - 1) / 2].due_ns > added.due_ns; i = parent) heap[i] = heap[parent];
  heap[i] = added;
}

static struct due pop(void) {
  struct due top = heap[0], last = heap[--heap_len];
  int i = 0;
  for (int child; (child = 2 * i + 1) < heap_len; i = child) {
    if (child + 1 < heap_len && heap[child + 1].due_ns < heap[child].due_ns) child++;
    if (heap[child].due_ns >= last.due_ns) break;
    heap[i] = heap[child];
  }
  heap[i] = last;
  return top;
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

// Requests without a body, and no second one before the first is answered: all that this benchmark sends.
static void take_request(int fd) {
  static size_t taken;
  struct connection *c = &connections[fd];
  int64_t read_ns = now_ns();
  ssize_t got = read(fd, c->request + c->have_bytes, REQUEST_BYTES - c->have_bytes);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    c->generation++;
    close(fd);
    return;
  }
  c->have_bytes += got;
  c->request[c->have_bytes] = 0;
  if (!strstr(c->request, "\r\n\r\n")) return;
  c->have_bytes = 0;
  push((struct due){read_ns + service_ns[taken++ % TABLE_LEN], read_ns, fd, c->generation});
}

static void record(int64_t ns) {
  if (delivered_len == delivered_cap) {
    delivered_cap = delivered_cap ? 2 * delivered_cap : 1 << 16;
    delivered_ns = realloc(delivered_ns, delivered_cap * sizeof *delivered_ns);
    if (!delivered_ns) die("realloc");
  }
  delivered_ns[delivered_len++] = ns;
}

static void answer_all_due(void) {
  while (heap_len && heap[0].due_ns <= now_ns()) {
    struct due d = pop();
    if (connections[d.fd].generation != d.generation) continue;
    if (write(d.fd, ANSWER, sizeof ANSWER - 1) == sizeof ANSWER - 1) record(now_ns() - d.read_ns);
  }
}

static int listen_on(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) die("listen");
  return listener;
}

static void serve(int listener) {
  int epoll = epoll_create1(0);
  struct epoll_event events[256] = {{.events = EPOLLIN, .data.fd = listener}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, events);
  while (!stopping) {
    int count = epoll_wait(epoll, events, 256, 0);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd == listener) accept_all(epoll, listener);
      else take_request(events[i].data.fd);
    }
    answer_all_due();
  }
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: known PORT LOGFILE\n");
    return 2;
  }
  struct sigaction on_term = {.sa_handler = stop};
  sigaction(SIGTERM, &on_term, 0);
  signal(SIGPIPE, SIG_IGN);
  fill_table();
  serve(listen_on(atoi(argv[1])));
  FILE *log = fopen(argv[2], "w");
  if (!log) die(argv[2]);
  for (size_t i = 0; i < delivered_len; i++) fprintf(log, "%lld\n", (long long)delivered_ns[i]);
  return fclose(log) ? 1 : 0;
}
