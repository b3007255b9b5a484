/* The limit to compare with: a websocket server that does nothing but what the benchmark asks for.
 *
 *   limit PORT send|join
 *
 * It answers connect and subscribe of the benchmark's protocol with constants and finds channel and data of a publish by
 * searching for them. `send`: each publication is sent to each subscriber at once. `join`: what one turn of the loop brings
 * for a channel leaves as one send per subscriber, and the replies to what one read brings as one send.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct { int fd, open; size_t size; unsigned char *carry; } Connection;
typedef struct { int *fds, size, room; unsigned char *pending; size_t pending_size, pending_room; } Channel;

static const char ACCEPT[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"; /* of the generator's key */
enum { CHUNK = 1 << 16, CHANNELS = 1 << 20 };
static Channel *channels;
static int *dirty, dirty_size, join;
static unsigned char input[CHUNK * 4];

static void die(const char *what) { perror(what); exit(1); }

/* A real server would queue what does not fit; here the benchmark sees to it that it always does, or waits. */
static void send_all(int fd, const unsigned char *data, size_t size) {
  while (size) {
    ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      return;
    }
    data += n, size -= n;
  }
}

static size_t frame(unsigned char *out, const char *text, size_t size) {
  size_t head = 2;
  out[0] = 0x81;
  if (size < 126) out[1] = size;
  else { out[1] = 126; out[2] = size >> 8; out[3] = size; head = 4; }
  memcpy(out + head, text, size);
  return head + size;
}

static Channel *channel_of(const char *text) {
  const char *at = strstr(text, "\"channel\":\"c");
  return &channels[at ? atoi(at + 12) % CHANNELS : 0];
}

static void flush(Channel *c) {
  for (int i = 0; i < c->size; i++) send_all(c->fds[i], c->pending, c->pending_size);
  c->pending_size = 0;
}

static void publish(const char *text) {
  Channel *c = channel_of(text);
  const char *data = strstr(text, "\"data\":");
  char push[CHUNK];
  int size = snprintf(push, sizeof push, "{\"push\":{\"channel\":\"c%d\",\"pub\":{\"data\":%.*s}}}", (int)(c - channels),
                      (int)(strlen(data) - 7 - 2), data + 7);
  if (c->pending_room < c->pending_size + size + 16)
    c->pending = realloc(c->pending, c->pending_room = c->pending_room * 2 + size + 16);
  if (!c->pending_size && join) dirty[dirty_size++] = c - channels;
  c->pending_size += frame(c->pending + c->pending_size, push, size);
  if (!join) flush(c);
}

static unsigned char replies[CHUNK];
static size_t replies_size;

static void send_replies(Connection *c) {
  if (replies_size) send_all(c->fd, replies, replies_size);
  replies_size = 0;
}

static void answer(Connection *c, const char *reply, size_t size) {
  replies_size += frame(replies + replies_size, reply, size);
  if (!join || replies_size > CHUNK / 2) send_replies(c);
}

static void handle(Connection *connection, char *text) {
  const char *id = strstr(text, "\"id\":");
  char reply[200];
  int number = id ? atoi(id + 5) : 0;
  if (strstr(text, "\"connect\"")) {
    int size = sprintf(reply, "{\"id\":%d,\"connect\":{\"client\":\"00000000-0000-0000-0000-000000000000\",\"version\":\"1\",\"ping\":25,\"pong\":true}}", number);
    answer(connection, reply, size);
  } else if (strstr(text, "\"subscribe\"")) {
    Channel *c = channel_of(text);
    if (c->size == c->room) c->fds = realloc(c->fds, sizeof(int) * (c->room = c->room * 2 + 8));
    c->fds[c->size++] = connection->fd;
    int size = sprintf(reply, "{\"id\":%d,\"subscribe\":{}}", number);
    answer(connection, reply, size);
  } else if (strstr(text, "\"publish\"")) {
    publish(text);
    int size = sprintf(reply, "{\"id\":%d,\"publish\":{}}", number);
    answer(connection, reply, size);
  }
}

static size_t parse(Connection *c, unsigned char *data, size_t size) {
  static char text[CHUNK * 4];
  size_t at = 0;
  while (size - at >= 6) {
    uint64_t length = data[at + 1] & 0x7f;
    size_t head = 6;
    if (length == 126) { head = 8; if (size - at < 8) break; length = data[at + 2] << 8 | data[at + 3]; }
    if (size - at < head + length) break;
    unsigned char *mask = data + at + head - 4;
    for (uint64_t i = 0; i < length; i++) text[i] = data[at + head + i] ^ mask[i & 3];
    text[length] = 0;
    handle(c, text);
    at += head + length;
  }
  return at;
}

static int receive(Connection *c) {
  if (c->size) memcpy(input, c->carry, c->size);
  ssize_t n = recv(c->fd, input + c->size, CHUNK, 0);
  if (n < 0 && errno == EAGAIN) return 1;
  if (n <= 0) return 0;
  size_t size = c->size + n, at = 0;
  if (!c->open) {
    unsigned char *end = memmem(input, size, "\r\n\r\n", 4);
    if (end) {
      send_all(c->fd, (const unsigned char *)ACCEPT, sizeof ACCEPT - 1);
      c->open = 1;
      at = end + 4 - input;
    }
  }
  if (c->open) at += parse(c, input + at, size - at);
  send_replies(c);
  free(c->carry);
  c->carry = NULL;
  if ((c->size = size - at)) memcpy(c->carry = malloc(c->size), input + at, c->size);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 3) { fprintf(stderr, "limit PORT send|join\n"); return 2; }
  join = !strcmp(argv[2], "join");
  channels = calloc(CHANNELS, sizeof *channels);
  dirty = malloc(sizeof *dirty * CHANNELS);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) die("listen");
  int poll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    struct epoll_event events[512];
    int n = epoll_wait(poll, events, 512, -1);
    for (int i = 0; i < n; i++) {
      Connection *c = events[i].data.ptr;
      if (!c) {
        for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          c = calloc(1, sizeof *c);
          c->fd = fd;
          event.data.ptr = c;
          epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
        }
      } else if (!receive(c)) {
        close(c->fd); /* a benchmark's clients leave all at once: nobody publishes to them any more */
        free(c->carry);
        free(c);
      }
    }
    for (int i = 0; i < dirty_size; i++) flush(&channels[dirty[i]]);
    dirty_size = 0;
  }
}
