/* The load generator: many websocket clients in one thread on epoll, with as little work per message as can be.
 *
 *   generator PORT PATH
 *
 * Reads commands from standard input, one per line, and answers each with one line of JSON. In TEXT, "%c" becomes the
 * number of a channel.
 *
 *   open COUNT BURST REPLIES CHANNELS TEXT   open COUNT more connections, at most BURST handshakes at once. TEXT is what
 *                              each sends: steps separated by a byte 0x1d, each of which waits for one more reply.
 *                              Open is a connection with REPLIES data frames. Its channel: its number modulo CHANNELS
 *   subscribe EACH WINDOW TEXT         each connection sends TEXT for EACH channels of its own, WINDOW of them unanswered
 *   publisher PORT REPLIES TEXT        open one more connection, to PORT (0: the same), as `open` does it; it publishes,
 *                              and its frames do not count. Another one replaces the first
 *   publish TOTAL WINDOW SIZE RATE CHANNELS SINGLE TEXT   publish TOTAL messages: TEXT with "%d" the data, the inside of
 *                              a JSON string of SIZE bytes that begins with the time. At most WINDOW are in flight
 *                              (RATE 0), or RATE a second are sent whatever is in flight. Each is awaited on every
 *                              connection of its channel (SINGLE 0), or on one (1)
 *   flood TOTAL WINDOW TEXT            send TEXT as a message TOTAL times over all connections, WINDOW unanswered on each
 *   quit
 *
 * Pings of the server ({} for the Centrifuge protocol, "2" for Engine.IO, control frames) are answered in kind and not
 * counted. A message counts when its frame is whole.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTING, HANDSHAKE, SETUP, OPEN };
enum { CHUNK = 1 << 18, MESSAGE_STEP = 0x1d, STRIDE = 7919 };

typedef struct {
  int fd, state, replies, channel, carry_size, outstanding, subscribed;
  const char *next;    /* the step to take after the next reply; NULL: that was the last */
  uint64_t received;   /* data frames since `publish` began */
  unsigned char *carry; /* an incomplete frame */
} Connection;

static Connection *connections;
static Connection publisher;
static unsigned room; /* for connections: as many as there may be descriptors */
static int count, opened, port, epoll;
static const char *path;
static unsigned char input[CHUNK * 2];
static uint64_t frames;  /* data frames, all connections, since the command began */
static uint32_t *latencies;
static uint64_t latency_count, latency_size;
static int timed;
static void (*on_frame)(Connection *, const unsigned char *, uint64_t);

static void die(const char *what) { perror(what); exit(1); }

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void send_all(int fd, const void *data, size_t size) {
  const char *at = data;
  while (size) {
    ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      die("send");
    }
    at += n, size -= n;
  }
}

/* A masked frame; the mask is zero, which every server has to accept. */
static size_t frame(unsigned char *out, int opcode, const char *text, size_t size) {
  size_t head = 2;
  out[0] = 0x80 | opcode;
  if (size < 126) out[1] = 0x80 | size;
  else if (size < 65536) { out[1] = 0x80 | 126; out[2] = size >> 8; out[3] = size; head = 4; }
  else { out[1] = 0x80 | 127; for (int i = 0; i < 8; i++) out[2 + i] = size >> (56 - 8 * i); head = 10; }
  memset(out + head, 0, 4);
  memcpy(out + head + 4, text, size);
  return head + 4 + size;
}

static void send_text(int fd, const char *text, size_t size) {
  unsigned char *out = malloc(size + 16);
  send_all(fd, out, frame(out, 1, text, size));
  free(out);
}

/* `from` with "%c" replaced by a number and "%d" by `data`. */
static size_t fill(char *out, const char *from, size_t size, int channel, const char *data) {
  char *at = out;
  for (size_t i = 0; i < size; i++) {
    if (from[i] == '%' && i + 1 < size && from[i + 1] == 'c') at += sprintf(at, "%d", channel), i++;
    else if (from[i] == '%' && i + 1 < size && from[i + 1] == 'd') at = stpcpy(at, data), i++;
    else *at++ = from[i];
  }
  return at - out;
}

static void handle_data(Connection *c, const unsigned char *payload, uint64_t size) {
  if (size == 2 && payload[0] == '{' && payload[1] == '}') { send_text(c->fd, "{}", 2); return; }
  if (size == 1 && payload[0] == '2') { send_text(c->fd, "3", 1); return; }
  if (c == &publisher && c->state == OPEN) return;
  frames++;
  on_frame(c, payload, size);
}

/* Every whole frame in `data`; returns how many bytes they take. */
static size_t parse(Connection *c, const unsigned char *data, size_t size) {
  size_t at = 0;
  while (size - at >= 2) {
    uint64_t length = data[at + 1] & 0x7f;
    size_t head = 2;
    if (length == 126) { head = 4; if (size - at < 4) break; length = data[at + 2] << 8 | data[at + 3]; }
    else if (length == 127) {
      head = 10;
      if (size - at < 10) break;
      length = 0;
      for (int i = 0; i < 8; i++) length = length << 8 | data[at + 2 + i];
    }
    if (size - at < head + length) break;
    int opcode = data[at] & 0xf;
    if (opcode == 9) {
      unsigned char pong[140];
      send_all(c->fd, pong, frame(pong, 10, (const char *)data + at + head, length));
    } else if (opcode == 8) {
      fprintf(stderr, "closed by the server: %.*s\n", (int)(length > 2 ? length - 2 : 0), data + at + head + 2);
      exit(1);
    } else handle_data(c, data + at + head, length);
    at += head + length;
  }
  return at;
}

static void keep(Connection *c, const unsigned char *data, size_t size) {
  c->carry_size = size;
  if (!size) { free(c->carry); c->carry = NULL; return; }
  unsigned char *carry = malloc(size);
  memcpy(carry, data, size);
  free(c->carry);
  c->carry = carry;
}

static const char *setup;
static int replies_wanted, channels_wanted;

/* Send the step at `c->next`. */
static void step(Connection *c) {
  char text[4096];
  const char *end = strchr(c->next, MESSAGE_STEP);
  size_t size = end ? (size_t)(end - c->next) : strlen(c->next);
  if (size) send_text(c->fd, text, fill(text, c->next, size, c->channel, ""));
  c->next = end ? end + 1 : NULL;
}

static void send_setup(Connection *c) {
  c->state = SETUP;
  c->channel = channels_wanted && c != &publisher ? (int)(c - connections) % channels_wanted : 0;
  c->next = setup;
  step(c);
  if (!replies_wanted) { c->state = OPEN; opened++; }
}

static void receive(Connection *c) {
  size_t have = c->carry_size;
  if (have) memcpy(input, c->carry, have);
  ssize_t n = recv(c->fd, input + have, CHUNK, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) { fprintf(stderr, "connection lost in state %d: %s\n", c->state, n ? strerror(errno) : "closed"); exit(1); }
  size_t size = have + n, at = 0;
  if (c->state == HANDSHAKE) {
    unsigned char *end = memmem(input, size, "\r\n\r\n", 4);
    if (!end) { keep(c, input, size); return; }
    if (memcmp(input, "HTTP/1.1 101", 12)) { fprintf(stderr, "refused: %.*s\n", 300, input); exit(1); }
    at = end + 4 - input;
    send_setup(c);
  }
  at += parse(c, input + at, size - at);
  if (at < size || have) keep(c, input + at, size - at);
}

static void watch(Connection *c, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(epoll, operation, c->fd, &event)) die("epoll_ctl");
}

static void dial(Connection *c, int to) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(to)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die("socket");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(c->fd, (void *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
  c->state = CONNECTING;
  watch(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static void connected(Connection *c) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) { fprintf(stderr, "connect: %s\n", strerror(error)); exit(1); }
  char head[1024];
  int n = sprintf(head, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", path, port);
  send_all(c->fd, head, n);
  c->state = HANDSHAKE;
  watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

/* One wait; a deadline keeps a server that loses a message from hanging the run. */
static double patience;
static void turn(int timeout) {
  struct epoll_event events[512];
  int n = epoll_wait(epoll, events, 512, timeout);
  for (int i = 0; i < n; i++) {
    Connection *c = events[i].data.ptr;
    if (c->state == CONNECTING) connected(c);
    else receive(c);
  }
  if (n > 0) patience = now();
  else if (now() - patience > 20) { fprintf(stderr, "nothing arrives any more\n"); exit(1); }
}

static void setup_frame(Connection *c, const unsigned char *payload, uint64_t size) {
  if (c->state != SETUP) return;
  if (memmem(payload, size, "\"error\"", 7)) {
    fprintf(stderr, "refused: %.*s\n", (int)(size > 300 ? 300 : size), payload);
    exit(1);
  }
  if (++c->replies == replies_wanted) { c->state = OPEN; opened++; }
  else if (c->next) step(c);
}

static void command_open(int more, int burst) {
  if ((unsigned)(count + more) > room) { fprintf(stderr, "no descriptors for %d connections\n", count + more); exit(1); }
  on_frame = setup_frame;
  double began = now(), used = cpu();
  patience = began;
  int wanted = count + more;
  while (opened < wanted) {
    while (count < wanted && count - opened < burst) dial(&connections[count++], port);
    turn(100);
  }
  printf("{\"opened\": %d, \"seconds\": %.6f, \"cpu\": %.6f}\n", more, now() - began, cpu() - used);
}

static void command_publisher(int to) {
  int before = opened;
  if (publisher.fd) close(publisher.fd);
  free(publisher.carry);
  memset(&publisher, 0, sizeof publisher);
  on_frame = setup_frame;
  patience = now();
  dial(&publisher, to ? to : port);
  while (opened == before) turn(100);
  opened = before;
  printf("{}\n");
}

static uint64_t answered;
static void answer_frame(Connection *c, const unsigned char *payload, uint64_t size) {
  (void)payload, (void)size;
  c->outstanding--, answered++;
}

static void command_subscribe(int each, int window, const char *text) {
  on_frame = answer_frame;
  answered = 0;
  for (int i = 0; i < count; i++) connections[i].outstanding = connections[i].subscribed = 0;
  char message[4096];
  double began = now(), used = cpu();
  patience = began;
  while (answered < (uint64_t)each * count) {
    for (int i = 0; i < count; i++) {
      Connection *c = &connections[i];
      for (; c->subscribed < each && c->outstanding < window; c->subscribed++, c->outstanding++)
        send_text(c->fd, message, fill(message, text, strlen(text), i * each + c->subscribed, ""));
    }
    turn(100);
  }
  printf("{\"subscribed\": %llu, \"seconds\": %.6f, \"cpu\": %.6f}\n", (unsigned long long)answered, now() - began, cpu() - used);
}

static uint64_t per_channel;   /* publications of one channel, at most */
static int *arrived;           /* by channel and number of the publication: connections that have it */
static int *members;
static uint64_t done;
static int publish_channels, single;

static void published_frame(Connection *c, const unsigned char *payload, uint64_t size) {
  if (single) done++;
  else {
    int channel = publish_channels ? c->channel % publish_channels : 0;
    if (c->received >= per_channel) { fprintf(stderr, "a publication came twice\n"); exit(1); }
    if (++arrived[channel * per_channel + c->received++] == members[channel]) done++;
  }
  if (!timed) return;
  const unsigned char *at = memmem(payload, size, "t=", 2);
  if (!at || latency_count >= latency_size) return;
  double sent = strtod((const char *)at + 2, NULL);
  latencies[latency_count++] = (now() - sent) * 1e6;
}

static int compare(const void *a, const void *b) {
  return (*(const uint32_t *)a > *(const uint32_t *)b) - (*(const uint32_t *)a < *(const uint32_t *)b);
}

static double percentile(double p) {
  return latency_count ? latencies[(uint64_t)((latency_count - 1) * p)] / 1e6 : 0;
}

/* One publication as a frame at `out`; returns its size. */
static size_t publication(unsigned char *out, const char *text, uint64_t number, int size) {
  static char *data, *message;
  data = realloc(data, size + 64);
  message = realloc(message, strlen(text) + size + 64);
  int written = sprintf(data, "t=%.6f;%llu;", now(), (unsigned long long)number);
  if (written < size) memset(data + written, 'x', size - written);
  data[written < size ? size : written] = 0;
  int channel = publish_channels ? number * STRIDE % publish_channels : 0;
  return frame(out, 1, message, fill(message, text, strlen(text), channel, data));
}

static void command_publish(uint64_t total, uint64_t window, int size, double rate, int channels, const char *text) {
  publish_channels = channels;
  int slots = channels ? channels : 1;
  per_channel = single ? 0 : total / slots + 1;
  arrived = calloc(slots * per_channel + 1, sizeof *arrived);
  members = calloc(slots, sizeof *members);
  for (int i = 0; i < count; i++) {
    connections[i].received = 0;
    members[channels ? connections[i].channel % channels : 0]++;
  }
  timed = rate > 0;
  latency_size = timed ? total * (count / slots + 1) : 0;
  latencies = malloc(latency_size * sizeof *latencies + 1);
  latency_count = done = frames = 0;
  on_frame = published_frame;
  /* What goes out at one time leaves in one write: so many publications are in flight, not so many wake-ups. */
  unsigned char *out = malloc((strlen(text) + size + 128) * (timed ? 1 : window));
  double began = now(), used = cpu();
  patience = began;
  uint64_t sent = 0;
  while (done < total) {
    size_t bytes = 0;
    while (sent < total && (timed ? !bytes && now() - began >= sent / rate : sent - done < window))
      bytes += publication(out + bytes, text, sent++, size);
    if (bytes) send_all(publisher.fd, out, bytes);
    turn(timed ? 1 : 100);
  }
  double seconds = now() - began;
  double own = cpu() - used;
  qsort(latencies, latency_count, sizeof *latencies, compare);
  printf("{\"deliveries\": %llu, \"seconds\": %.6f, \"cpu\": %.6f, \"p50\": %.6f, \"p99\": %.6f, \"p999\": %.6f}\n",
         (unsigned long long)frames, seconds, own, percentile(.5), percentile(.99), percentile(.999));
  free(arrived), free(members), free(latencies), free(out);
}

static void command_flood(uint64_t total, int window, const char *text) {
  on_frame = answer_frame;
  answered = 0;
  for (int i = 0; i < count; i++) connections[i].outstanding = 0;
  unsigned char *out = malloc(strlen(text) + 16);
  size_t size = frame(out, 1, text, strlen(text));
  unsigned char *many = malloc(size * window);
  for (int i = 0; i < window; i++) memcpy(many + i * size, out, size);
  double began = now(), used = cpu();
  patience = began;
  uint64_t sent = 0;
  while (answered < total) {
    for (int i = 0; i < count && sent < total; i++) {
      if (connections[i].outstanding > window / 2) continue;
      int n = window - connections[i].outstanding;
      if (sent + n > total) n = total - sent;
      send_all(connections[i].fd, many, size * n);
      connections[i].outstanding += n;
      sent += n;
    }
    turn(100);
  }
  printf("{\"messages\": %llu, \"seconds\": %.6f, \"cpu\": %.6f}\n", (unsigned long long)answered, now() - began, cpu() - used);
  free(out), free(many);
}

int main(int argc, char **argv) {
  if (argc != 3) { fprintf(stderr, "generator PORT PATH\n"); return 2; }
  port = atoi(argv[1]);
  path = argv[2];
  epoll = epoll_create1(0);
  struct rlimit files = {0};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  room = files.rlim_cur - 64;
  connections = calloc(room, sizeof *connections);
  char *line = NULL;
  size_t line_room = 0;
  ssize_t n;
  while ((n = getline(&line, &line_room, stdin)) > 0) {
    if (line[n - 1] == '\n') line[--n] = 0;
    int a, b, c, d, at = 0;
    double rate;
    unsigned long long total, window;
    if (sscanf(line, "open %d %d %d %d %n", &a, &b, &c, &d, &at) == 4 && at) {
      setup = strdup(line + at), replies_wanted = c, channels_wanted = d;
      command_open(a, b);
    } else if (sscanf(line, "subscribe %d %d %n", &a, &b, &at) == 2 && at) command_subscribe(a, b, line + at);
    else if (sscanf(line, "publisher %d %d %n", &b, &a, &at) == 2 && at) {
      setup = strdup(line + at), replies_wanted = a, channels_wanted = 0;
      command_publisher(b);
    } else if (sscanf(line, "publish %llu %llu %d %lf %d %d %n", &total, &window, &a, &rate, &b, &single, &at) == 6 && at)
      command_publish(total, window, a, rate, b, line + at);
    else if (sscanf(line, "flood %llu %d %n", &total, &a, &at) == 2 && at) command_flood(total, a, line + at);
    else if (!strcmp(line, "quit")) return 0;
    else { fprintf(stderr, "no such command: %s\n", line); return 2; }
    fflush(stdout);
  }
  return 0;
}
