// known.c: an HTTP/1.1 server on loopback that logs how long it really took, to hold a load generator's service times
// against. Usage: known PORT LOGFILE
//
// The service time of each request comes from a fixed log-normal table (median 2 ms, sigma 0.5). Requests do not queue:
// any number of them can be in service at once, each with its own due instant. At SIGTERM, LOGFILE gets one line an
// answer, in the order of the answers: the nanoseconds from reading the request to having written the answer.
//
// It never sleeps: on an idle core, being woken takes tens of microseconds (on a virtual machine more), and those
// before the read would be missing from the log and look like the client's error.
#include "server.h"

#include <math.h>

enum { TABLE_LEN = 10000, MAX_DUE = 65536 };

struct due {
  int64_t due_ns, read_ns;
  int fd;
  uint32_t generation;
};

static int64_t service_ns[TABLE_LEN];
static struct due heap[MAX_DUE];  // a binary heap, the earliest due instant at the top
static int heap_len;
static int64_t *delivered_ns;
static size_t delivered_len, delivered_cap;

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

static void take_request(int fd) {
  static size_t taken;
  int64_t read_ns = now_ns();
  if (!read_request(fd)) return;
  push((struct due){read_ns + service_ns[taken++ % TABLE_LEN], read_ns, fd, connections[fd].generation});
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
    if (answer(d.fd)) record(now_ns() - d.read_ns);
  }
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
  stop_at_sigterm();
  fill_table();
  serve(listen_on(atoi(argv[1])));
  FILE *log = fopen(argv[2], "w");
  if (!log) die(argv[2]);
  for (size_t i = 0; i < delivered_len; i++) fprintf(log, "%lld\n", (long long)delivered_ns[i]);
  return fclose(log) ? 1 : 0;
}
